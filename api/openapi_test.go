package api

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"agentd/goals"
	"agentd/journal"
)

// document is the part of openapi.yaml that the tests look at.
type document struct {
	Paths      map[string]map[string]any `yaml:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Enum []string `yaml:"enum"`
			} `yaml:"properties"`
			Enum []string `yaml:"enum"`
		} `yaml:"schemas"`
	} `yaml:"components"`
}

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	if err := yaml.Unmarshal(openapi, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIListsTheRoutes(t *testing.T) {
	var want, got []string
	for _, r := range NewServer(Options{}).routes() {
		want = append(want, r.method+" "+strings.ReplaceAll(r.path, "...}", "}"))
	}
	for path, item := range readDocument(t).Paths {
		for method := range item {
			if method != "parameters" {
				got = append(got, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("routes of the server (-) and of openapi.yaml (+):\n%s", d)
	}
}

func TestOpenAPISchemasHaveTheFields(t *testing.T) {
	schemas := readDocument(t).Components.Schemas
	known := map[string]reflect.Type{}
	for _, v := range []any{
		Error{}, StartRequest{}, GoalFile{}, Started{}, RunList{}, RunView{}, Page{}, Appended{}, Patch{}, Answer{}, AskRules{}, Message{}, Context{}, Diff{},
		FileDiff{}, ModelList{}, ModelInfo{}, Pull{}, PullLine{}, Delta{}, Info{}, SandboxInfo{}, Guarantee{},
		MemoryItem{}, MemorySource{}, MemoryAdd{}, MemoryQuery{}, MemoryFound{}, MemoryHit{}, MemoryList{}, MemoryForgotten{}, MemoryReview{},
		MemoryStats{}, MemoryImported{}, MemoryProgress{},
		goals.Budget{}, journal.Summary{}, journal.Record{}, journal.Undone{}, journal.Applied{}, GoalTest{}, GoalTested{}, GoalTrial{}, GoalReview{}, GoalReviewed{}, GoalWanted{}, Grant{}, GrantAdd{}, GrantList{}, Revoked{}, ScheduleAdd{}, Scheduled{}, ScheduleRun{}, ScheduleList{}, SchedulePatch{},
		ScreenFrame{}, ScreenTab{}, ScreenAct{}, ScreenInput{},
	} {
		known[reflect.TypeOf(v).Name()] = reflect.TypeOf(v)
	}
	for name, s := range schemas {
		if name == "Status" { // not an object; TestOpenAPIEnums has it
			continue
		}
		typ, ok := known[name]
		if !ok {
			t.Errorf("schema %s has no Go type", name)
			continue
		}
		delete(known, name)
		got := make([]string, 0, len(s.Properties))
		for f := range s.Properties {
			got = append(got, f)
		}
		want := fields(typ)
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: fields of the Go type (-) and of the schema (+):\n%s", name, d)
		}
	}
	for name := range known {
		t.Errorf("openapi.yaml has no schema %s", name)
	}
}

// fields are the JSON names of a struct's fields, embedded ones included.
func fields(typ reflect.Type) []string {
	var names []string
	for f := range typ.Fields() {
		if f.Anonymous {
			names = append(names, fields(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func TestOpenAPIEnums(t *testing.T) {
	schemas := readDocument(t).Components.Schemas
	var codes []string
	for _, k := range kinds {
		codes = append(codes, k.code)
	}
	got := slices.Clone(schemas["Error"].Properties["code"].Enum)
	slices.Sort(codes)
	slices.Sort(got)
	if d := cmp.Diff(codes, got); d != "" {
		t.Errorf("error codes of the table (-) and of openapi.yaml (+):\n%s", d)
	}
	statuses := []string{}
	for _, s := range []journal.Status{
		journal.StatusQueued, journal.StatusRunning, journal.StatusWaiting, journal.StatusPaused, journal.StatusParked, journal.StatusAccepted,
		journal.StatusUnmet, journal.StatusBudget, journal.StatusDenied, journal.StatusStalled, journal.StatusSandbox, journal.StatusProvider,
		journal.StatusInDoubt, journal.StatusUnverified, journal.StatusTime, journal.StatusCancelled, journal.StatusInternalErr,
	} {
		statuses = append(statuses, string(s))
	}
	if d := cmp.Diff(statuses, schemas["Status"].Enum); d != "" {
		t.Errorf("statuses (-) and openapi.yaml's (+):\n%s", d)
	}
}
