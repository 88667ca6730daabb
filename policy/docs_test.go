package policy

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The page that people read names everything that a rule may use.
func TestDocsNameEverything(t *testing.T) {
	page, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	has := func(word string) {
		if !strings.Contains(string(page), "`"+word) {
			t.Errorf("docs/policy.md says nothing of %s", word)
		}
	}
	for _, n := range append(append([]string{}, names...), builtins...) {
		has(n)
	}
	for _, n := range append(commonNames(), "exit", "ok", "output", "status") {
		has(n)
	}
	for _, n := range parsed {
		has(n)
	}
	e := reflect.TypeFor[env]()
	for i := range e.NumField() {
		f := e.Field(i)
		if f.Type.Kind() == reflect.Struct {
			for _, arg := range exprFields(f.Type) {
				has(f.Tag.Get("expr") + "." + arg)
			}
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Command](), reflect.TypeFor[Redirect](), reflect.TypeFor[Diff](), reflect.TypeFor[Stall](), reflect.TypeFor[PlanProgress](), reflect.TypeFor[Scope]()} {
		for _, f := range exprFields(typ) {
			has(f)
		}
	}
}

// Every argument has one name, for models and for rules.
func TestArgumentsHaveOneName(t *testing.T) {
	e := reflect.TypeFor[env]()
	for i := range e.NumField() {
		f := e.Field(i)
		if f.Type.Kind() != reflect.Struct {
			continue
		}
		for j := range f.Type.NumField() {
			tag := f.Type.Field(j).Tag
			json, _, _ := strings.Cut(tag.Get("json"), ",")
			if json == "" || json != tag.Get("expr") {
				t.Errorf("%s.%s: json %q, expr %q", f.Type, f.Type.Field(j).Name, json, tag.Get("expr"))
			}
		}
	}
}
