package goals

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Print writes g as Markdown with front matter, in the format's order. Parse reads back the same goal, its file and hash apart.
func Print(g Goal) []byte {
	var p printer
	p.b.WriteString("---\n")
	p.mapping(format(), reflect.ValueOf(g), "")
	p.b.WriteString("---\n")
	if g.Text != "" && g.Text != g.Description {
		p.b.WriteString("\n" + g.Text + "\n")
	}
	return []byte(p.b.String())
}

// PrintYAML writes g as YAML alone, its text as body.
func PrintYAML(g Goal) []byte {
	p := printer{yaml: true}
	if g.Text == g.Description {
		g.Text = ""
	}
	p.mapping(format(), reflect.ValueOf(g), "")
	return []byte(p.b.String())
}

type printer struct {
	b    strings.Builder
	yaml bool
}

func (p *printer) mapping(s *spec, v reflect.Value, indent string) {
	for _, k := range s.keys {
		if k.yaml && !p.yaml || k.empty(v) {
			continue
		}
		p.b.WriteString(indent + k.key + ":")
		p.value(k, k.field(v), indent)
	}
}

// value writes a value behind its key, or behind the dash of its item.
func (p *printer) value(s *spec, v reflect.Value, indent string) {
	switch {
	case s.named:
		p.b.WriteByte('\n')
		for i := range v.Len() {
			item := v.Index(i)
			p.b.WriteString(indent + "  " + quote(item.FieldByName("Name").String()) + ":")
			p.value(s.item, item, indent+"  ")
		}
	case s.item != nil:
		p.b.WriteByte('\n')
		for i := range v.Len() {
			p.b.WriteString(indent + "  -")
			if s.item.keys == nil {
				p.value(s.item, v.Index(i), indent+"  ")
				continue
			}
			var item printer
			item.mapping(s.item, v.Index(i), indent+"    ")
			if item.b.Len() == 0 {
				p.b.WriteString(" {}\n")
				continue
			}
			p.b.WriteString(" " + strings.TrimPrefix(item.b.String(), indent+"    "))
		}
	case s.keys != nil:
		var inner printer
		inner.mapping(s, v, indent+"  ")
		if inner.b.Len() == 0 {
			p.b.WriteString(" {}\n")
			return
		}
		p.b.WriteString("\n" + inner.b.String())
	default:
		p.b.WriteString(" " + printScalar(s, v) + "\n")
	}
}

func printScalar(s *spec, v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch {
	case s.is == "version":
		return apiVersion
	case s.typ == jsonType:
		var b strings.Builder
		printJSON(&b, json.RawMessage(v.Bytes()))
		return b.String()
	case s.typ == durationType:
		if v.Int() < 0 {
			return "none"
		}
		return printDuration(time.Duration(v.Int()))
	case v.Kind() == reflect.String:
		return quote(v.String())
	case v.Kind() == reflect.Bool:
		return fmt.Sprint(v.Bool())
	case v.CanInt():
		return printNumber(s, float64(v.Int()))
	}
	return printNumber(s, v.Float())
}

// printDuration writes a duration without the units that are 0.
func printDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func printNumber(s *spec, f float64) string {
	if s.is == "bound" && f < 0 {
		return "none"
	}
	return formatNumber(f)
}

// printJSON writes JSON as YAML in one line. JSON's strings are almost, but not quite, YAML's.
func printJSON(b *strings.Builder, raw json.RawMessage) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	printToken(b, d)
}

func printToken(b *strings.Builder, d *json.Decoder) {
	t, err := d.Token()
	if err != nil {
		b.WriteString("null") // Validate refuses what is not JSON
		return
	}
	switch t := t.(type) {
	case json.Delim:
		b.WriteString(t.String())
		for i := 0; d.More(); i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			if t == '{' {
				key, _ := d.Token()
				name, _ := key.(string)
				b.WriteString(quote(name) + ": ")
			}
			printToken(b, d)
		}
		d.Token() // the closing one
		b.WriteString(map[json.Delim]string{'{': "}", '[': "]"}[t])
	case string:
		b.WriteString(quote(t))
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprint(b, t)
	}
}
