// Renders a Helm chart where there is no helm: Go's own template engine with sprig and Helm's functions.
//
// tools/charts/rendering.py builds and runs it. It knows what our charts use of Helm 3: value files, include, tpl,
// required, fail, toYaml and fromYaml, toJson and fromJson, lookup (finds nothing, as with `helm template`), Files.Get
// and Capabilities. Where helm is, a test compares the two, so that this program does not drift.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

// How deep templates may include each other, as in Helm.
const deepest = 1000

type paths []string

func (p *paths) String() string { return strings.Join(*p, ",") }

func (p *paths) Set(value string) error {
	*p = append(*p, value)
	return nil
}

// files is what templates see as .Files.
type files string

func (f files) Get(name string) string {
	data, err := os.ReadFile(filepath.Join(string(f), filepath.Clean("/"+name)))
	if err != nil {
		return ""
	}
	return string(data)
}

// apiVersions is what templates see as .Capabilities.APIVersions.
type apiVersions []string

func (a apiVersions) Has(wanted string) bool {
	for _, known := range a {
		if known == wanted {
			return true
		}
	}
	return false
}

func main() {
	var valueFiles, versions paths
	flag.Var(&valueFiles, "f", "file of values; repeat it, later ones win")
	flag.Var(&versions, "api-versions", "an API the cluster serves, group/version/Kind; repeat it")
	kube := flag.String("kube-version", "1.36.0", "the cluster's version")
	release := flag.String("release", "test", "name of the release")
	namespace := flag.String("namespace", "default", "namespace of the release")
	flag.Parse()
	if flag.NArg() != 1 {
		fail(errors.New("name one folder of a chart"))
	}
	folder := filepath.Clean(flag.Arg(0))
	chart, err := read(filepath.Join(folder, "Chart.yaml"))
	fail(err)
	values, err := merged(folder, valueFiles)
	fail(err)
	root := object{
		"Values":  values,
		"Chart":   capitalised(chart),
		"Files":   files(folder),
		"Release": object{"Name": *release, "Namespace": *namespace, "Service": "Helm", "Revision": 1, "IsInstall": true, "IsUpgrade": false},
		"Capabilities": object{
			"KubeVersion": kubeVersion(*kube),
			"APIVersions": apiVersions(versions),
		},
	}
	fail(render(folder, fmt.Sprint(chart["name"]), root))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "helm_render: %v\n", err)
		os.Exit(1)
	}
}

func read(path string) (object, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := object{}
	if err := yaml.Unmarshal(data, &found); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// merged are the chart's values with those of the files over them. A null takes one of the chart's own keys away; for
// other keys it stays, as in some versions of Helm 3, so that templates are tried with it.
func merged(folder string, valueFiles []string) (object, error) {
	values, err := read(filepath.Join(folder, "values.yaml"))
	if err != nil {
		return nil, err
	}
	given := object{}
	for _, file := range valueFiles {
		over, err := read(file)
		if err != nil {
			return nil, err
		}
		merge(given, over)
	}
	withoutNulls(values, given)
	merge(values, given)
	return values, nil
}

func merge(into, over object) {
	for key, value := range over {
		below, isMap := value.(object)
		known, wasMap := into[key].(object)
		if isMap && wasMap {
			merge(known, below)
		} else {
			into[key] = value
		}
	}
}

func withoutNulls(defaults, given object) {
	for key, value := range defaults {
		over, isGiven := given[key]
		if isGiven && over == nil {
			delete(defaults, key)
			delete(given, key)
		}
		below, isMap := value.(object)
		if known, wasMap := over.(object); isMap && wasMap {
			withoutNulls(below, known)
		}
	}
}

func capitalised(chart object) object {
	found := object{}
	for key, value := range chart {
		found[strings.ToUpper(key[:1])+key[1:]] = value
	}
	return found
}

func kubeVersion(text string) object {
	parts := strings.SplitN(strings.TrimPrefix(text, "v"), ".", 3)
	minor := ""
	if len(parts) > 1 {
		minor = parts[1]
	}
	return object{"Version": "v" + strings.TrimPrefix(text, "v"), "Major": parts[0], "Minor": minor}
}

func render(folder, chart string, root object) error {
	names, sources, err := templates(folder, chart)
	if err != nil {
		return err
	}
	set := template.New(chart).Option("missingkey=zero")
	set.Funcs(functions(set, root))
	for _, name := range names {
		if _, err := set.New(name).Parse(sources[name]); err != nil {
			return err
		}
	}
	for _, name := range names {
		if strings.HasPrefix(filepath.Base(name), "_") {
			continue
		}
		scope := object{}
		for key, value := range root {
			scope[key] = value
		}
		scope["Template"] = object{"Name": name, "BasePath": chart + "/templates"}
		text, err := execute(set, name, scope)
		if err != nil {
			return err
		}
		if strings.TrimSpace(text) != "" {
			fmt.Printf("---\n# Source: %s\n%s\n", name, strings.Trim(text, "\n"))
		}
	}
	return nil
}

// templates are the chart's templates by name, NOTES.txt among them, which is printed as a document of its own.
func templates(folder, chart string) ([]string, map[string]string, error) {
	names, sources := []string{}, map[string]string{}
	walk := func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		name := chart + "/" + filepath.ToSlash(below)
		names, sources[name] = append(names, name), string(data)
		return nil
	}
	err := filepath.Walk(filepath.Join(folder, "templates"), walk)
	sort.Strings(names)
	return names, sources, err
}

func execute(set *template.Template, name string, scope interface{}) (string, error) {
	var text strings.Builder
	if err := set.ExecuteTemplate(&text, name, scope); err != nil {
		return "", err
	}
	return strings.ReplaceAll(text.String(), "<no value>", ""), nil
}

func functions(set *template.Template, root object) template.FuncMap {
	known := sprig.TxtFuncMap()
	delete(known, "env")
	delete(known, "expandenv")
	depth := 0
	known["include"] = func(name string, scope interface{}) (string, error) {
		if depth++; depth > deepest {
			return "", fmt.Errorf("include %s: templates include each other without end", name)
		}
		defer func() { depth-- }()
		return execute(set, name, scope)
	}
	known["tpl"] = func(text string, scope interface{}) (string, error) {
		clone, err := set.Clone()
		if err != nil {
			return "", err
		}
		if _, err := clone.New("tpl").Parse(text); err != nil {
			return "", err
		}
		return execute(clone, "tpl", scope)
	}
	known["required"] = func(message string, value interface{}) (interface{}, error) {
		if text, isText := value.(string); value == nil || (isText && text == "") {
			return nil, errors.New(message)
		}
		return value, nil
	}
	known["fail"] = func(message string) (string, error) { return "", errors.New(message) }
	known["lookup"] = func(string, string, string, string) object { return object{} }
	for name, function := range conversions() {
		known[name] = function
	}
	return known
}

func conversions() template.FuncMap {
	return template.FuncMap{
		"toYaml": func(value interface{}) (string, error) {
			data, err := yaml.Marshal(value)
			return strings.TrimSuffix(string(data), "\n"), err
		},
		"fromYaml": func(text string) (object, error) {
			found := object{}
			err := yaml.Unmarshal([]byte(text), &found)
			return found, err
		},
		"toJson": func(value interface{}) (string, error) {
			data, err := json.Marshal(value)
			return string(data), err
		},
		"fromJson": func(text string) (object, error) {
			found := object{}
			err := json.Unmarshal([]byte(text), &found)
			return found, err
		},
	}
}
