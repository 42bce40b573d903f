"""Places an order with nothing but the .proto files.

    pip install grpcio grpcio-tools
    python docs/clients/place_order.py 127.0.0.1:7401 127.0.0.1:7402 127.0.0.1:7403
"""

import pathlib, sys, time, uuid

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "proto"))
messages, services = grpc.protos_and_services("counterfoil/v1/commands.proto")
words = grpc.protos("counterfoil/v1/types.proto")

order = messages.NewOrder(account_id=1001, market_id=1, side=words.SIDE_BUY, quantity=10, limit_price=18723)
# The id makes it safe to send the same command again, to any node, whatever became of the first try.
request = messages.ExecuteRequest(command=messages.Command(id=uuid.uuid4().bytes, new_order=order))

for attempt in range(60):
    endpoint = sys.argv[1 + attempt % (len(sys.argv) - 1)]
    try:
        with grpc.insecure_channel(endpoint) as channel:
            result = services.CommandServiceStub(channel).Execute(request, timeout=2).result
        break
    except grpc.RpcError as error:
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
        time.sleep(0.1)
else:
    sys.exit("no node answered")
print("rejected:" if result.rejection else "accepted:", words.Rejection.Name(result.rejection), result.order, sep="\n")
