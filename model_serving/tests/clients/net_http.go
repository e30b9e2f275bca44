// Asks by Go's net/http. go run net_http.go URL FOLDER; prints a line for each answer: what was sent, status, body.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

func main() {
	for _, name := range []string{"small", "small", "small", "thousand", "huge"} {
		ask(name, bytes.NewReader(read(name)), "")
	}
	ask("small", io.MultiReader(bytes.NewReader(read("small"))), "") // of unknown length: in chunks
	ask("small", bytes.NewReader(read("small")), "100-continue")
	ask("huge", bytes.NewReader(read("huge")), "100-continue")
}

var client = &http.Client{Transport: &http.Transport{ExpectContinueTimeout: 5 * time.Second}}

func read(name string) []byte {
	content, err := os.ReadFile(filepath.Join(os.Args[2], name))
	if err != nil {
		panic(err)
	}
	return content
}

func ask(name string, body io.Reader, expect string) {
	request, err := http.NewRequest(http.MethodPost, os.Args[1]+"/inference", body)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if expect != "" {
		request.Header.Set("Expect", expect)
	}
	answer, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(name, answer.StatusCode, string(said))
}
