package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fileName is the scheduler's one file. It is written whole and renamed, so that a crash leaves the old one or the new one.
const fileName = "schedule.json"

// maxFile bounds the file in bytes.
const maxFile = 256 << 20

type stored struct {
	Version int             `json:"version"`
	Jobs    map[string]*Job `json:"jobs"`
}

func load(dir string) (map[string]*Job, error) {
	path := filepath.Join(dir, fileName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]*Job{}, nil
	}
	if err == nil && info.Size() > maxFile {
		err = errors.New("it is too large")
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	var st stored
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err == nil && st.Version != 1 {
		err = fmt.Errorf("it has version %d, this program knows 1: use a newer agentd", st.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("read the schedule %s: %w", path, err)
	}
	jobs := map[string]*Job{}
	for name, j := range st.Jobs {
		if j == nil {
			continue
		}
		j.Name = name
		for len(j.Marks) < len(j.Goal.Triggers) {
			j.Marks = append(j.Marks, Mark{Last: j.Approved})
		}
		jobs[name] = j
	}
	return jobs, nil
}

func save(dir string, jobs map[string]*Job) error {
	data, err := json.Marshal(stored{Version: 1, Jobs: jobs})
	if err == nil {
		err = replace(filepath.Join(dir, fileName), data)
	}
	if err != nil {
		return fmt.Errorf("write the schedule: %w", err)
	}
	return nil
}

// replace writes a file durably under its name.
func replace(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
