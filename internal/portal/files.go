package portal

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// assetsPath is where the files are that pages load.
const assetsPath = "/assets/"

//go:embed templates
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// assets are the files that pages load, by name.
var assets = readAssets()

// asset is a file. Its address has its hash, so that browsers keep it for as long as it stays as it is.
type asset struct {
	content []byte
	hash    string
}

func readAssets() map[string]asset {
	entries, err := fs.ReadDir(assetFiles, "assets")
	if err != nil {
		panic(err) // They are part of the program.
	}
	files := make(map[string]asset, len(entries))
	for _, entry := range entries {
		content, err := assetFiles.ReadFile("assets/" + entry.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		files[entry.Name()] = asset{content: content, hash: hex.EncodeToString(sum[:8])}
	}
	return files
}

// assetURL is the address of a file.
func assetURL(name string) string { return assetsPath + name + "?v=" + assets[name].hash }

func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	file, found := assets[name]
	if !found {
		http.NotFound(w, r)
		return
	}
	w.Header().Del("Vary") // It is the same for everybody.
	w.Header().Set("Cache-Control", "no-cache")
	if r.FormValue("v") == file.hash {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	w.Header().Set("ETag", `"`+file.hash+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(file.content))
}

// templates are the pages, by name. Each is the frame of all with its own content.
var templates = readTemplates("overview.html", "route.html", "teams.html", "team.html", problemPage, "sign-in.html")

func readTemplates(names ...string) map[string]*template.Template {
	frame := template.Must(template.New("page.html").Funcs(template.FuncMap{
		"asset": assetURL, "code": code,
	}).ParseFS(templateFiles, "templates/page.html", "templates/parts.html"))
	pages := make(map[string]*template.Template, len(names))
	for _, name := range names {
		pages[name] = template.Must(template.Must(frame.Clone()).ParseFS(templateFiles, "templates/"+name))
	}
	return pages
}

// part is a piece of a text: code or not.
type part struct {
	Text string
	Code bool
}

// code takes a text apart in which names stand between backticks.
func code(text string) []part {
	var parts []part
	for i, piece := range strings.Split(text, "`") {
		if piece != "" {
			parts = append(parts, part{Text: piece, Code: i%2 == 1})
		}
	}
	return parts
}
