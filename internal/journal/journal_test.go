package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatWasAppendedIsReplayedInOrder(t *testing.T) {
	options := testOptions(t.TempDir())
	j, replay := mustOpen(t, options)
	clean := replay.Torn == nil && replay.Damage == nil
	if !replay.Fresh || !replay.SameBoot || !clean || replay.ProxyID != j.ProxyID() || len(replay.ProxyID) != 32 {
		t.Errorf("a new journal opens as %+v", replay)
	}
	hold := mustAppend(t, j, Entry{Kind: 1, Payload: []byte("hold")})
	settled := mustAppend(t, j, Entry{Kind: 2, Numbered: true, Payload: []byte("settle")}, Entry{Kind: 1}, Entry{Kind: 3, Numbered: true})
	if hold.First != 0 || settled.First != 1 || !hold.Position.Before(settled.Position) || !settled.Position.Before(j.End()) {
		t.Errorf("written at %+v and %+v", hold, settled)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again, replay := mustOpen(t, options)
	records, err := recordsOf(replay)
	if err != nil || replay.Fresh || !replay.SameBoot || replay.First != 1 || replay.Next != 3 || again.ProxyID() != j.ProxyID() {
		t.Errorf("it opens again as %+v: %v", replay, err)
	}
	mustMatch(t, "records", []plain{{1, 0, "hold"}, {2, 1, "settle"}, {1, 0, ""}, {3, 2, ""}}, records)
	if written := mustAppend(t, again, Entry{Kind: 2, Numbered: true}); written.First != 3 {
		t.Errorf("the next number is %d", written.First)
	}
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	j, _ := mustOpen(t, testOptions(t.TempDir()))
	for name, entries := range map[string][]Entry{
		"nothing at all":     nil,
		"no kind":            {{Kind: 1}, {}},
		"a payload too long": {{Kind: 1, Payload: make([]byte, MaxPayload+1)}},
	} {
		if _, err := j.Append(entries...); err == nil {
			t.Errorf("%s was appended", name)
		}
	}
	longest := Entry{Kind: 1, Numbered: true, Payload: []byte(strings.Repeat("x", MaxPayload))}
	if written := mustAppend(t, j, longest); written.First != 1 {
		t.Errorf("the refused ones took numbers: the first is %d", written.First)
	}
	records, err := tail(j, 1)
	if err != nil || len(records) != 1 || records[0].Payload != string(longest.Payload) {
		t.Errorf("the longest record is not there: %v", err)
	}
}

func TestAnotherBootOnlyReadsAndThenBeginsAnew(t *testing.T) {
	options := testOptions(t.TempDir())
	j, _ := mustOpen(t, options)
	mustAppend(t, j, Entry{Kind: 2, Numbered: true, Payload: []byte("old")})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	options.BootID = "boot-2"
	rebooted, replay := mustOpen(t, options)
	records, err := recordsOf(replay)
	if replay.SameBoot || replay.ProxyID != j.ProxyID() || err != nil {
		t.Errorf("after a reboot it opens as %+v: %v", replay, err)
	}
	mustMatch(t, "records", []plain{{2, 1, "old"}}, records)
	if _, err := rebooted.AppendEssential(Entry{Kind: 1}); !errors.Is(err, ErrOtherBoot) {
		t.Errorf("appending to a journal of another boot: %v", err)
	}
	if err := rebooted.Trim(1, rebooted.End()); !errors.Is(err, ErrOtherBoot) {
		t.Errorf("trimming a journal of another boot: %v", err)
	}
	resent, err := tail(rebooted, 1)
	mustMatch(t, "records to resend", records, resent)
	if err := errors.Join(err, rebooted.Retire()); err != nil {
		t.Fatal(err)
	}
	if rebooted.ProxyID() == j.ProxyID() {
		t.Error("the new journal has the old identity")
	}
	if written := mustAppend(t, rebooted, Entry{Kind: 2, Numbered: true, Payload: []byte("new")}); written.First != 1 {
		t.Errorf("the new journal begins with number %d", written.First)
	}
	if _, err := recordsOf(replay); err == nil {
		t.Error("the old replay reads the new journal")
	}
	if err := rebooted.Close(); err != nil {
		t.Fatal(err)
	}
	_, replay = mustOpen(t, options)
	records, err = recordsOf(replay)
	if err != nil || !replay.SameBoot || replay.ProxyID != rebooted.ProxyID() {
		t.Errorf("the new journal opens as %+v: %v", replay, err)
	}
	mustMatch(t, "records of the new journal", []plain{{2, 1, "new"}}, records)
}

func TestADamagedJournalIsSetAsideAsItIs(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(t *testing.T, folder string)
		want []plain
	}{
		"its identity is gone": {
			func(t *testing.T, folder string) { mustDo(t, os.Remove(filepath.Join(folder, identityName))) },
			[]plain{{1, 0, "a"}, {2, 1, "b"}},
		},
		"its identity is empty": {
			func(t *testing.T, folder string) {
				mustDo(t, os.WriteFile(filepath.Join(folder, identityName), nil, 0o600))
			},
			[]plain{{1, 0, "a"}, {2, 1, "b"}},
		},
		"its identity says nothing": {
			func(t *testing.T, folder string) {
				mustDo(t, os.WriteFile(filepath.Join(folder, identityName), []byte(`{"version":1,"proxy":"00"}`), 0o600))
			},
			[]plain{{1, 0, "a"}, {2, 1, "b"}},
		},
		"a segment is gone": {func(t *testing.T, folder string) { mustDo(t, os.Remove(segmentPath(folder, 1))) }, nil},
		"a record is overwritten": {func(t *testing.T, folder string) {
			content, err := os.ReadFile(segmentPath(folder, 1))
			mustDo(t, err)
			content[segmentHeader+recordHeader]++
			mustDo(t, os.WriteFile(segmentPath(folder, 1), content, 0o600))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			options := testOptions(t.TempDir())
			j, _ := mustOpen(t, options)
			mustAppend(t, j, Entry{Kind: 1, Payload: []byte("a")}, Entry{Kind: 2, Numbered: true, Payload: []byte("b")})
			mustDo(t, j.Close())
			test.harm(t, filepath.Join(options.Directory, currentName))
			broken := copyJournal(t, options.Directory)

			damaged, replay := mustOpen(t, options)
			records, err := recordsOf(replay)
			var damage *DamageError
			if replay.Damage == nil || !errors.As(err, &damage) || !strings.HasPrefix(damage.File, options.Directory) {
				t.Fatalf("the damage is reported as %v, and at the end of the records as %v", replay.Damage, err)
			}
			mustMatch(t, "records before the damage", test.want, records)
			if _, err := damaged.Append(Entry{Kind: 1}); !errors.As(err, &damage) {
				t.Errorf("appending to a damaged journal: %v", err)
			}
			if err := damaged.Retire(); !errors.As(err, &damage) {
				t.Errorf("retiring a damaged journal: %v", err)
			}
			folder, err := damaged.SetAside()
			if err != nil || folder != filepath.Join(options.Directory, "damaged-1") {
				t.Fatalf("set aside as %s: %v", folder, err)
			}
			sameFiles(t, filepath.Join(broken, currentName), folder)
			mustAppend(t, damaged, Entry{Kind: 1})
			if folder, err := damaged.SetAside(); err != nil || filepath.Base(folder) != "damaged-2" {
				t.Errorf("set aside again as %s: %v", folder, err)
			}
		})
	}
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sameFiles(t testing.TB, want, got string) {
	t.Helper()
	content := func(folder string) map[string]string {
		files := map[string]string{}
		entries, err := os.ReadDir(folder)
		mustDo(t, err)
		for _, entry := range entries {
			b, err := os.ReadFile(filepath.Join(folder, entry.Name()))
			mustDo(t, err)
			files[entry.Name()] = string(b)
		}
		return files
	}
	mustMatch(t, "files", content(want), content(got))
}

func TestAnUnknownFormatIsAnErrorAndNoDamage(t *testing.T) {
	options := testOptions(t.TempDir())
	j, _ := mustOpen(t, options)
	mustDo(t, j.Close())
	path := filepath.Join(options.Directory, currentName, identityName)
	mustDo(t, os.WriteFile(path, []byte(`{"version":2,"proxy":"x","boot":"y"}`), 0o600))
	if _, _, err := Open(options); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("opening a journal of a later version: %v", err)
	}
}

func TestADeathWhileBeginningAnewLeavesAJournal(t *testing.T) {
	options := testOptions(t.TempDir())
	j, _ := mustOpen(t, options)
	mustAppend(t, j, Entry{Kind: 1})
	mustDo(t, j.Close())
	// It died between the two renames of Retire.
	mustDo(t, os.Rename(j.path(currentName), j.path(retiredName)))
	mustDo(t, os.Mkdir(j.path(nextName), 0o700))
	again, replay := mustOpen(t, options)
	if !replay.Fresh || again.ProxyID() == j.ProxyID() {
		t.Errorf("it opens as %+v", replay)
	}
	for _, name := range []string{retiredName, nextName} {
		if _, err := os.Lstat(j.path(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

func TestAJournalThatCouldNotBeReplacedTakesNothing(t *testing.T) {
	options := testOptions(t.TempDir())
	disk := newModelDisk()
	options.disk = disk
	j, _ := mustOpen(t, options)
	disk.set(func() { disk.opening = errTest })
	if err := j.Retire(); !errors.Is(err, errTest) {
		t.Errorf("retiring: %v", err)
	}
	if _, err := j.Append(Entry{Kind: 1}); !errors.Is(err, errTest) {
		t.Errorf("appending afterwards: %v", err)
	}
	disk.set(func() { disk.opening = nil })
	mustDo(t, j.Retire())
	mustAppend(t, j, Entry{Kind: 1})
}

func TestAClosedJournalRefuses(t *testing.T) {
	j, _ := mustOpen(t, testOptions(t.TempDir()))
	mustDo(t, j.Close())
	_, appending := j.Append(Entry{Kind: 1})
	_, reading := tail(j, 1)
	_, aside := j.SetAside()
	for what, err := range map[string]error{
		"append": appending, "read": reading, "trim": j.Trim(1, Position{}), "retire": j.Retire(), "set aside": aside,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	mustDo(t, j.Close())
}

func TestTheBootIDIsThatOfLinux(t *testing.T) {
	options := testOptions(t.TempDir())
	options.BootID = ""
	j, _ := mustOpen(t, options)
	mustDo(t, j.Close())
	want, err := os.ReadFile(bootIDFile)
	mustDo(t, err)
	_, boot, err := readIdentity(j.path(currentName))
	if err != nil || boot != strings.TrimSpace(string(want)) {
		t.Errorf("the boot id is %q: %v", boot, err)
	}
}
