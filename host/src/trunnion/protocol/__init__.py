"""One envelope and one method table for every client that keeps a connection: the socket, the WebSocket."""
