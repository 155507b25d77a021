"""Two empty gRPC methods on grpc.aio and uvloop: they measure the cost of gRPC alone.

`python -m benchmarks.references.empty_grpc PORT`
"""

import asyncio
import sys
from typing import Any

import grpc
import uvloop


async def call(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    """Respond nothing to one request."""
    return b""


async def stream(_requests: object, context: grpc.aio.ServicerContext) -> None:
    """Respond nothing to each request of a stream."""
    while await context.read() is not grpc.aio.EOF:
        await context.write(b"")


class Handler(grpc.GenericRpcHandler):
    """The methods `/empty/call` and `/empty/stream`, without a parser of messages."""

    def service(self, details: Any) -> Any:
        """The handler of a method, by its path."""
        if details.method == "/empty/stream":
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(call)


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = grpc.aio.server(handlers=[Handler()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
