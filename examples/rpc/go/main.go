// Call a host over gRPC: see who you are, run, follow, cancel, be refused, bring a file.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "example.com/caller/trunnionv1"
)

type caller struct {
	host pb.RuntimeServiceClient
	ctx  context.Context
}

// start starts a run. It has a key, so that asking again after a lost line starts no second one.
func (c caller) start(command string, args map[string]any) (string, error) {
	encoded, err := json.Marshal(args)
	if err != nil {
		return "", err
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	key := hex.EncodeToString(random)
	request := &pb.InvokeRequest{
		CommandId:      command,
		Arguments:      &pb.InvokeRequest_ArgsJson{ArgsJson: encoded},
		IdempotencyKey: &key,
	}
	answer, err := c.host.Invoke(c.ctx, request)
	return answer.GetRun().GetId(), err
}

// show prints what a run says, to its end.
func (c caller) show(run string) error {
	stream, err := c.host.StreamEvents(c.ctx, &pb.StreamEventsRequest{Stream: "run/" + run, Follow: true})
	for err == nil {
		var answer *pb.StreamEventsResponse
		answer, err = stream.Recv()
		for _, event := range answer.GetEvents() {
			if event.Kind == "text" || event.Kind == "progress" {
				fmt.Println(strings.TrimRight(event.Text, "\n"))
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// wait gives the run at its end.
func (c caller) wait(run string) (*pb.Run, error) {
	answer, err := c.host.WaitRun(c.ctx, &pb.WaitRunRequest{RunId: run})
	return answer.GetRun(), err
}

// bring brings a file; what it returns is a file argument.
func (c caller) bring(name string, content []byte) (string, error) {
	opened, err := c.host.OpenUpload(c.ctx, &pb.OpenUploadRequest{Name: name})
	if err != nil {
		return "", err
	}
	id := opened.Upload.Id
	writing, err := c.host.WriteUpload(c.ctx)
	if err != nil {
		return "", err
	}
	// What Send returns is io.EOF where the host has refused; why is what CloseAndRecv returns.
	if err := writing.Send(&pb.WriteUploadRequest{UploadId: id, Chunk: content}); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if _, err := writing.CloseAndRecv(); err != nil {
		return "", err
	}
	finished, err := c.host.FinishUpload(c.ctx, &pb.FinishUploadRequest{UploadId: id})
	return finished.GetUpload().GetHandle(), err
}

// explain prints why the host refused: its own code, and what is wrong with each argument.
func explain(err error) {
	for _, detail := range status.Convert(err).Details() {
		if own, ok := detail.(*pb.Error); ok {
			var details struct {
				Problems []struct{ Path, Message string }
			}
			if len(own.DetailsJson) > 0 {
				must(json.Unmarshal(own.DetailsJson, &details))
			}
			fmt.Println(own.Code)
			for _, problem := range details.Problems {
				fmt.Printf("%s: %s\n", problem.Path, problem.Message)
			}
		}
	}
}

func word(status pb.RunStatus) string {
	return strings.ToLower(strings.TrimPrefix(status.String(), "RUN_STATUS_"))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// secured reads files of the authority, one's certificate and its key.
func secured(ca, cert, key string) credentials.TransportCredentials {
	pem, err := os.ReadFile(ca)
	must(err)
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	own, err := tls.LoadX509KeyPair(cert, key)
	must(err)
	return credentials.NewTLS(&tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{own}})
}

func main() {
	transport := insecure.NewCredentials()
	if len(os.Args) > 4 {
		transport = secured(os.Args[2], os.Args[3], os.Args[4])
	}
	channel, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(transport))
	must(err)
	defer channel.Close()
	c := caller{pb.NewRuntimeServiceClient(channel), context.Background()}
	if token := os.Getenv("TRUNNION_TOKEN"); token != "" {
		c.ctx = metadata.AppendToOutgoingContext(c.ctx, "authorization", "Bearer "+token)
	}

	me, err := c.host.GetHost(c.ctx, &pb.GetHostRequest{})
	must(err)
	fmt.Println("I am", me.Principal)

	basil, err := c.start("greenhouse.water", map[string]any{"bed": "basil", "pause": 0.1})
	must(err)
	must(c.show(basil))
	run, err := c.wait(basil)
	must(err)
	var result struct{ Bed string }
	must(json.Unmarshal(run.ResultJson, &result))
	fmt.Println(word(run.Status), result.Bed)

	tomatoes, err := c.start("greenhouse.water", map[string]any{"bed": "tomatoes", "litres": 60, "pause": 0.1})
	must(err)
	_, err = c.host.CancelRun(c.ctx, &pb.CancelRunRequest{RunId: tomatoes})
	must(err)
	run, err = c.wait(tomatoes)
	must(err)
	fmt.Println(word(run.Status))

	_, err = c.start("greenhouse.water", map[string]any{"bed": "roses"})
	explain(err)

	handle, err := c.bring("hello.txt", []byte("hello\n"))
	must(err)
	checksum, err := c.start("scripts.checksum", map[string]any{"file": handle})
	must(err)
	must(c.show(checksum))
}
