"""A client of gRPC that knows nothing of the server but what reflection tells, as grpcurl does."""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from grpc_status import rpc_status

SECONDS = 60


class Reflection:
    """What the server says of itself, by a version of the reflection service: v1 or v1alpha.

    Both versions have the same messages; the Python package has stubs of v1alpha alone.
    """

    def __init__(self, channel, version, metadata=()):
        self.metadata = metadata
        self.ask_all = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )

    def ask(self, **request):
        [answer] = self.ask_all(iter([ServerReflectionRequest(**request)]), timeout=SECONDS, metadata=self.metadata)
        return answer

    def services(self):
        return [service.name for service in self.ask(list_services="").list_services_response.service]

    def add_to(self, pool, files, known):
        """Adds files and what they import, each once."""
        for serialized in files:
            file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
            if file.name in known:
                continue
            known.add(file.name)
            for imported in file.dependency:
                if imported not in known:
                    answer = self.ask(file_by_filename=imported)
                    self.add_to(pool, answer.file_descriptor_response.file_descriptor_proto, known)
            pool.Add(file)

    def pool(self):
        pool, known = descriptor_pool.DescriptorPool(), set()
        for service in self.services():
            answer = self.ask(file_containing_symbol=service)
            self.add_to(pool, answer.file_descriptor_response.file_descriptor_proto, known)
        return pool


class Client:
    """Calls methods by their names, with messages as dictionaries."""

    def __init__(self, address, version=None, metadata=()):
        self.channel = grpc.insecure_channel(address)
        self.metadata = tuple(metadata)
        if version is None:
            # The package's own way to read reflection.
            self.pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        else:
            self.pool = Reflection(self.channel, version, self.metadata).pool()

    def method(self, name):
        service, method = name.split("/")
        service = service if "." in service else f"berth.v1.{service}"
        return self.pool.FindServiceByName(service).FindMethodByName(method)

    def message(self, descriptor, fields):
        return json_format.ParseDict(fields, message_factory.GetMessageClass(descriptor)(), descriptor_pool=self.pool)

    def begin(self, name):
        """The call itself, and how a request of it is made."""
        method = self.method(name)
        sides = [("unary", "stream")[method.client_streaming], ("unary", "stream")[method.server_streaming]]
        answer = message_factory.GetMessageClass(method.output_type)
        call = getattr(self.channel, "_".join(sides))(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call, lambda fields: self.message(method.input_type, fields)

    def call(self, name, /, timeout=SECONDS, metadata=(), **fields):
        call, request = self.begin(name)
        return call(request(fields), timeout=timeout, metadata=self.metadata + tuple(metadata))

    def stream(self, name, requests, timeout=SECONDS):
        """A call with a stream of requests, given as dictionaries one at a time."""
        call, request = self.begin(name)
        return call((request(fields) for fields in requests), timeout=timeout, metadata=self.metadata)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Refusal:
    """An error, with the details of google.rpc that came with it."""

    KINDS = {
        "bad_request": error_details_pb2.BadRequest,
        "retry_info": error_details_pb2.RetryInfo,
        "error_info": error_details_pb2.ErrorInfo,
    }

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        status = rpc_status.from_call(error)
        self.details = {}
        if status is not None:
            assert (status.code, status.message) == (self.code.value[0], self.message)
        for detail in status.details if status else []:
            [name] = [name for name, kind in self.KINDS.items() if detail.Is(kind.DESCRIPTOR)]
            self.details[name] = self.KINDS[name]()
            assert detail.Unpack(self.details[name])

    @property
    def reason(self):
        return self.details["error_info"].reason

    @property
    def limit(self):
        return self.details["error_info"].metadata.get("limit")

    @property
    def field(self):
        [violation] = self.details["bad_request"].field_violations
        assert violation.description == self.message
        return violation.field


def refused(ask):
    """The refusal that a call, or the reading of its answers, ends with."""
    try:
        answer = ask()
        for _ in answer if hasattr(answer, "__next__") else ():
            pass
    except grpc.RpcError as error:
        return Refusal(error)
    raise AssertionError("nothing was refused")
