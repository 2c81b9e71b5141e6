package journal

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// formatVersion is that of the identity, of the segments and of the records in them.
const formatVersion = 1

// bootIDFile is where Linux tells one boot of the machine from another.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// What is in the journal's directory. A journal is begun in next and becomes current by a rename, and ceases to be by another: so it is
// there as a whole or not at all.
const (
	currentName  = "current"
	nextName     = "next"
	retiredName  = "retired"
	damagedName  = "damaged"
	reserveName  = "reserve"
	identityName = "identity"
)

// proxyID is a proxy's identity, random for every journal that is begun.
type proxyID [16]byte

func (id proxyID) String() string { return hex.EncodeToString(id[:]) }

// identity is the file that says whose journal it is.
type identity struct {
	Version int    `json:"version"`
	Proxy   string `json:"proxy"`
	Boot    string `json:"boot"`
}

// readBootID returns the id of this boot of the machine.
func readBootID() (string, error) {
	content, err := os.ReadFile(bootIDFile)
	if err != nil {
		return "", fmt.Errorf("reading the boot id: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// readIdentity returns whose journal the folder is and in which boot it was begun. The error is a *DamageError if the file is missing or
// says nothing sensible: a journal is never there without it.
func readIdentity(folder string) (id proxyID, boot string, err error) {
	path := filepath.Join(folder, identityName)
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return id, "", &DamageError{File: path, Reason: "it is missing"}
	}
	if err != nil {
		return id, "", fmt.Errorf("reading the journal's identity: %w", err)
	}
	var read identity
	if err := json.Unmarshal(content, &read); err != nil {
		return id, "", &DamageError{File: path, Reason: "it is no JSON: " + err.Error()}
	}
	if read.Version != formatVersion && read.Version != 0 {
		return id, "", fmt.Errorf("reading %s: the journal has format %d, and only %d is known", path, read.Version, formatVersion)
	}
	raw, err := hex.DecodeString(read.Proxy)
	if err != nil || len(raw) != len(id) || read.Boot == "" || read.Version == 0 {
		return id, "", &DamageError{File: path, Reason: "it has no proxy id of 128 bits in hex, no boot id or no version"}
	}
	return proxyID(raw), read.Boot, nil
}

// begin makes the folder of a new journal: its identity and its first segment, on disk when it returns.
func begin(folder, boot string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	var id proxyID
	// It never fails: the runtime ends the process where there is no randomness.
	_, _ = rand.Read(id[:])
	content, err := json.Marshal(identity{Version: formatVersion, Proxy: id.String(), Boot: boot})
	if err != nil {
		return err
	}
	head := header{sequence: 1, first: 1, proxy: id}
	return errors.Join(
		writeSynced(filepath.Join(folder, identityName), append(content, '\n')),
		writeSynced(segmentPath(folder, 1), head.encode()),
		syncDirectory(folder),
	)
}
