package acceptance

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"agentd/goals"
)

// Bounds of what is kept of an output for conditions.
const (
	maxJSON    = 1 << 20
	maxRows    = 1_000_000
	maxColumns = 1000
)

// json reads one JSON value and checks it against the probe's schema.
func (r *Reading) json(schema json.RawMessage, out []byte) error {
	out = bytes.TrimSpace(out)
	if len(out) > maxJSON {
		return fmt.Errorf("the value has %d bytes, more than %d", len(out), maxJSON)
	}
	if err := goals.CheckJSON(schema, out); err != nil {
		return err
	}
	r.JSON = bytes.Clone(out)
	return nil
}

// csv reads a table whose first record is its header. Every record has as many fields as the header.
func (r *Reading) csv(out []byte) error {
	d := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(out, []byte("\ufeff"))))
	header, err := d.Read()
	if err != nil {
		return errors.New("the output holds no header")
	}
	if len(header) > maxColumns {
		return fmt.Errorf("the header has %d columns, more than %d", len(header), maxColumns)
	}
	for _, name := range header {
		r.Columns = append(r.Columns, strings.TrimSpace(name))
	}
	d.ReuseRecord = true
	for {
		switch _, err := d.Read(); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if r.Rows++; r.Rows > maxRows {
			return fmt.Errorf("the table has more than %d rows", maxRows)
		}
	}
}

// regexp counts matches. The first match's first group, or all of it, is the text and, where it is one, the value.
func (r *Reading) regexp(pattern string, out []byte) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	const most = 1_000_000
	for i, m := range re.FindAllSubmatch(out, most) {
		if i == 0 {
			text := m[0]
			if len(m) > 1 {
				text = m[1]
			}
			r.Text = valid(string(text[:min(len(text), OutputTail)]))
			if v, err := strconv.ParseFloat(strings.TrimSpace(r.Text), 64); err == nil && v == v && v-v == 0 {
				r.Value = v
			}
		}
		r.Count++
	}
	return nil
}
