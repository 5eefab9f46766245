// A stand-in for Ollama's template package: Go's own text/template over the values that Ollama
// gives to a template (ollama/ollama, template/template.go, at fb30760, read for the facts).
//
// Each line of standard input is {"template", "messages", "tools"}; the answer is {"text"} or
// {"error"} on a line.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type arguments map[string]any

func (a arguments) String() string {
	if a == nil {
		return "{}"
	}
	return marshal(a)
}

type properties map[string]any

type parameters struct {
	Type       string     `json:"type"`
	Defs       any        `json:"$defs,omitempty"`
	Items      any        `json:"items,omitempty"`
	Required   []string   `json:"required,omitempty"`
	Properties properties `json:"properties"`
}

type function struct {
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Parameters  parameters `json:"parameters"`
}

type tool struct {
	Type     string   `json:"type"`
	Items    any      `json:"items,omitempty"`
	Function function `json:"function"`
}

func (t tool) String() string { return marshal(t) }

type tools []tool

func (t tools) String() string { return marshal(t) }

type call struct {
	ID       string `json:"id"`
	Function struct {
		Index     int       `json:"index"`
		Name      string    `json:"name"`
		Arguments arguments `json:"arguments"`
	} `json:"function"`
}

type message struct {
	Role       string `json:"role"`
	Content    string `json:"content"`
	Thinking   string `json:"thinking"`
	ToolCalls  []call `json:"tool_calls"`
	ToolName   string `json:"tool_name"`
	ToolCallID string `json:"tool_call_id"`
}

type request struct {
	Template string     `json:"template"`
	Messages []*message `json:"messages"`
	Tools    tools      `json:"tools"`
}

func marshal(value any) string {
	bytes, _ := json.Marshal(value)
	return string(bytes)
}

// Consecutive messages of a role become one, those of tools aside; system messages are collected.
func collate(given []*message) (string, []*message) {
	var system []string
	var collated []*message
	for _, m := range given {
		if m.Role == "system" {
			system = append(system, m.Content)
		}
		if last := len(collated) - 1; last >= 0 && collated[last].Role == m.Role && m.Role != "tool" {
			collated[last].Content += "\n\n" + m.Content
			continue
		}
		collated = append(collated, m)
	}
	return strings.Join(system, "\n\n"), collated
}

func execute(r request) (string, error) {
	functions := template.FuncMap{"json": func(value any) string { return marshal(value) }}
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(r.Template)
	if err != nil {
		return "", err
	}
	system, messages := collate(r.Messages)
	var text bytes.Buffer
	err = parsed.Execute(&text, map[string]any{
		"System": system, "Messages": messages, "Tools": r.Tools, "Response": "",
		"Think": false, "ThinkLevel": "", "IsThinkSet": false,
	})
	return text.String(), err
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && err != nil {
			return
		}
		var r request
		answer := map[string]any{}
		if err := json.Unmarshal(line, &r); err != nil {
			answer["error"] = err.Error()
		} else if text, err := execute(r); err != nil {
			answer["error"] = err.Error()
		} else {
			answer["text"] = text
		}
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(answer)
		fmt.Print(out.String())
	}
}
