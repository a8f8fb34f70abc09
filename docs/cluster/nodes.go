//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// startNATS starts the bus.
func (c *cluster) startNATS() error {
	port := c.freePort(firstBusPort)
	p := &program{name: "nats", url: "nats://" + address(port), ready: func() error { return listens(port) }}
	c.bus = p.url
	return c.launch(p, "nats-server", "--addr", "127.0.0.1", "--port", fmt.Sprint(port))
}

// startNode starts a node on all hosts of the database, behind a port of nginx or 0 for none.
func (c *cluster) startNode(behind int) error {
	n := len(c.nodes())
	port := c.freePort(firstNodePort)
	p := &program{name: fmt.Sprint("node ", n+1), url: "http://" + address(port), database: strings.Join(c.hosts, ",")}
	args := []string{"--listen", address(port), "--database", "mysql://root@" + p.database + "/" + database, "--nats", c.bus, "--key-file", filepath.Join(c.dir, "key")}
	if behind != 0 {
		args = append(args, "--trusted-proxy", "127.0.0.1", "--origin", "http://"+address(behind))
	}
	p.ready = func() error { return isOK(p.url + "/readyz") }
	p.environment = []string{"TOKENWIRE_ADMIN_PASSWORD=" + c.password}
	return c.launch(p, filepath.Join(c.dir, "tokenwire"), args...)
}

func isOK(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// upstream is the nodes in docs/compose/nginx.conf.
var upstream = regexp.MustCompile(`(?m)(^ *server tokenwire-\d:8080 .*;\n)+`)

// startNginx starts nginx as docs/compose/nginx.conf has it, with other addresses.
func (c *cluster) startNginx(port int) error {
	root, err := exec.CommandContext(c.ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	configuration, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "docs/compose/nginx.conf"))
	if err != nil {
		return err
	}
	text := strings.NewReplacer("listen 8080;", "listen "+address(port)+";", "127.0.0.1:8081", address(c.freePort(firstServicePort)), "/tmp/", c.dir+"/nginx-").
		Replace(string(configuration))
	servers := "" // written in last: none of their addresses must be taken for one of the file's
	for _, n := range c.nodes() {
		servers += "server " + strings.TrimPrefix(n.url, "http://") + " max_fails=1 fail_timeout=2s;\n"
	}
	text = upstream.ReplaceAllLiteralString(text, servers)
	file := filepath.Join(c.dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	p := &program{name: "nginx", url: "http://" + address(port)}
	p.ready = func() error { return isOK(p.url + "/readyz") }
	return c.launch(p, "nginx", "-c", file, "-g", "daemon off; master_process off;", "-e", "stderr")
}
