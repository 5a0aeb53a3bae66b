// Command port-forward speaks the one endpoint of a kubelet that `kubectl port-forward` needs, for Pods that are
// objects only: it dials the Pod's podIP, which must be a loopback address.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// podAddress is the loopback address that stands for one Pod.
type podAddress string

// PortForward copies both ways; each side's end of data is passed on, so half-closed connections work.
func (ip podAddress) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(string(ip), fmt.Sprint(port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		io.Copy(conn, stream)
		conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	return err
}

// pods looks addresses up in the API server.
type pods struct {
	server, token string
	client        http.Client
}

func (p *pods) address(ctx context.Context, namespace, name string) (podAddress, error) {
	url := fmt.Sprintf("%s/api/v1/namespaces/%s/pods/%s", p.server, namespace, name)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := p.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var pod struct{ Status struct{ PodIP string } }
	if err := json.NewDecoder(response.Body).Decode(&pod); err != nil {
		return "", err
	}
	if ip := net.ParseIP(pod.Status.PodIP); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("pod %s/%s has no loopback address (%s)", namespace, name, response.Status)
	}
	return podAddress(pod.Status.PodIP), nil
}

func main() {
	listen := flag.String("listen", "", "address of the HTTPS server")
	certificate, key := flag.String("cert", "", "its certificate file"), flag.String("key", "", "its key file")
	server := flag.String("server", "", "URL of the API server")
	authority := flag.String("ca", "", "certificate file of the API server's CA")
	tokenFile := flag.String("token-file", "", "file with a bearer token that may get pods")
	flag.Parse()

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(*authority))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	lookup := pods{*server, string(read(*tokenFile)), http.Client{Transport: transport, Timeout: 10 * time.Second}}

	forward := func(w http.ResponseWriter, r *http.Request) {
		namespace, name := r.PathValue("namespace"), r.PathValue("pod")
		address, err := lookup.address(r.Context(), namespace, name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, address, name, "", options, time.Hour, 30*time.Second, portforward.SupportedProtocols)
	}
	http.HandleFunc("GET /portForward/{namespace}/{pod}", forward)
	http.HandleFunc("POST /portForward/{namespace}/{pod}", forward)
	log.Fatal(http.ListenAndServeTLS(*listen, *certificate, *key, nil))
}

// read returns a file's content, or ends the program.
func read(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	return data
}
