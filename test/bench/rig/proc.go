package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of /proc's CPU times: the kernel shows hundredths of a second to every program.
const clockTick = 10 * time.Millisecond

// family is a process and its children, such as nginx's workers.
func family(pid int) []int {
	found := []int{pid}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return found
	}
	for word := range strings.FieldsSeq(string(content)) {
		if child, err := strconv.Atoi(word); err == nil {
			found = append(found, child)
		}
	}
	return found
}

// CPUTime is what a process and its children have used of the processors.
func CPUTime(pid int) time.Duration {
	var sum time.Duration
	for _, one := range family(pid) {
		content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(one), "stat"))
		if err != nil {
			continue
		}
		// The name, in parentheses, may have anything in it; utime and stime are the 12th and 13th behind it.
		_, rest, _ := strings.Cut(string(content), ") ")
		fields := strings.Fields(rest)
		for _, field := range fields[11:13] {
			ticks, _ := strconv.Atoi(field)
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum
}

// ResidentBytes is the memory that a process and its children have.
func ResidentBytes(pid int) int64 { return sumOfStatus(pid, "VmRSS:") }

// PeakBytes is the most memory that a process and its children ever had.
func PeakBytes(pid int) int64 { return sumOfStatus(pid, "VmHWM:") }

// sumOfStatus sums up a field of /proc's status, which is in kibibytes.
func sumOfStatus(pid int, field string) int64 {
	var sum int64
	for _, one := range family(pid) {
		content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(one), "status"))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(content), field)
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		kibibytes, _ := strconv.ParseInt(fields[0], 10, 64)
		sum += kibibytes << 10
	}
	return sum
}

// Machine tells the facts of this machine that figures depend on.
func Machine() string {
	model := "an unknown processor"
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, found := strings.Cut(string(content), "model name\t: "); found {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	kernel := "?"
	if content, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(content))
	}
	return fmt.Sprintf("%d cores of %s, Linux %s", runtime.NumCPU(), strings.TrimSpace(model), kernel)
}

// Worked is what the processes that this one has started have used of the processors, by the names of their programs.
func Worked() map[string]time.Duration {
	worked := map[string]time.Duration{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // The pattern is a good one.
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // It is gone.
		}
		before, rest, _ := strings.Cut(string(content), ") ")
		pid, name, _ := strings.Cut(before, " (")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		if number, err := strconv.Atoi(pid); err == nil {
			worked[name] += CPUTime(number)
		}
	}
	return worked
}
