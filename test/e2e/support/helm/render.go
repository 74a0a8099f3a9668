// Renders a Helm chart by the engine that Helm uses (text/template with sprig's functions), for machines where Helm itself is not to be had:
// render CHART-DIRECTORY < {"Values": …, "Release": …, "Chart": …}. The functions that Helm adds are as in its pkg/engine/funcs.go.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

func main() {
	if err := render(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(chart string) error {
	var about map[string]interface{}
	if err := json.NewDecoder(os.Stdin).Decode(&about); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := all.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return err
		}
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") || strings.HasSuffix(name, ".txt") {
			continue
		}
		fmt.Println("---")
		if err := all.ExecuteTemplate(os.Stdout, name, about); err != nil {
			return err
		}
	}
	return nil
}

func functions(all *template.Template) template.FuncMap {
	own := sprig.TxtFuncMap()
	// Helm takes these away: a chart must not see the machine.
	delete(own, "env")
	delete(own, "expandenv")
	own["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	own["toYaml"] = func(value interface{}) (string, error) {
		var out bytes.Buffer
		encoder := yaml.NewEncoder(&out)
		encoder.SetIndent(2)
		err := encoder.Encode(value)
		return strings.TrimSuffix(out.String(), "\n"), err
	}
	// As without a cluster.
	own["lookup"] = func(string, string, string, string) map[string]interface{} { return map[string]interface{}{} }
	return own
}
