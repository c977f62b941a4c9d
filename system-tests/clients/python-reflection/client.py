"""A household's money through Counterfoil, knowing two addresses and nothing else.

There is no generated code: the services describe their messages themselves, by server reflection.
"""

import json
import os
import sys
import uuid

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

# Also how long a query waits for `at_least_as_fresh`. Without a deadline a call may wait for ever.
DEADLINE_SECONDS = 5

# Safe for commands too: the repeated call has the same request_id, so it is decided once.
RETRY_UNAVAILABLE = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]})


class Server:
    """One server and what it says of itself. Messages go in as dictionaries and come out as protobuf."""

    def __init__(self, address, service):
        self.service = service
        self.channel = grpc.insecure_channel(address, options=[("grpc.service_config", RETRY_UNAVAILABLE)])
        # Reflection has no deadline of its own, so first see that somebody is there.
        grpc.channel_ready_future(self.channel).result(timeout=DEADLINE_SECONDS)
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))

    def call(self, method, fields, service=None):
        service = service or self.service
        request, codec = self.codec(service, method)
        send = self.channel.unary_unary(f"/{service}/{method}", **codec)
        return send(request(fields), timeout=DEADLINE_SECONDS)

    def stream(self, method, all_fields):
        """Sends as fast as the service takes them, and gives answers as they come."""
        request, codec = self.codec(self.service, method)
        send = self.channel.stream_stream(f"/{self.service}/{method}", **codec)
        return send((request(fields) for fields in all_fields), timeout=DEADLINE_SECONDS)

    def codec(self, service, method):
        """How requests are made from dictionaries, and how both kinds of messages become bytes and back."""
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        request_class = GetMessageClass(described.input_type)
        codec = {"request_serializer": lambda message: message.SerializeToString(),
                 "response_deserializer": GetMessageClass(described.output_type).FromString}
        return lambda fields: json_format.ParseDict(fields, request_class()), codec

    def details(self, status):
        """The details of a google.rpc.Status, by the name of their type."""
        details = {}
        for packed in status.details:
            message = GetMessageClass(self.pool.FindMessageTypeByName(packed.TypeName()))()
            packed.Unpack(message)
            details[packed.TypeName()] = message
        return details

    def refusal(self, method, fields):
        """Sends what must be refused; gives the status and its details by the name of their type."""
        try:
            self.call(method, fields)
        except grpc.RpcError as error:
            return error, self.details(rpc_status.from_call(error))
        sys.exit(f"surprise: {method} was accepted, and should have been refused")


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"surprise: {what} is {found!r}, expected {expected!r}")


def say(what, text):
    print(f"{what:<10} {text}")


def request_id():
    return str(uuid.uuid4())


def eur(cents):
    return {"currency_code": "EUR", "minor_units": cents}


def main():
    write = Server(os.environ.get("WRITE_SERVICE_ADDR", "127.0.0.1:50051"), "counterfoil.write.v1.WriteService")
    read = Server(os.environ.get("READ_SERVICE_ADDR", "127.0.0.1:50052"), "counterfoil.read.v1.ReadService")
    for server in (write, read):
        health = server.call("Check", {"service": server.service}, service="grpc.health.v1.Health")
        expect(f"health of {server.service}", health.status, 1)  # SERVING
    say("health", "both services are serving")

    household = uuid.uuid4().hex[:8]
    alice, bob = f"alice-{household}", f"bob-{household}"
    for account_id in (alice, bob):
        write.call("OpenAccount", {"request_id": request_id(), "account_id": account_id,
                                   "owner_id": f"household-{household}", "currency_code": "EUR"})
    say("opened", f"{alice}, {bob}")

    deposit = {"request_id": request_id(), "account_id": alice, "amount": eur(100_00), "reference": "salary"}
    first = write.call("Deposit", deposit)
    say("deposited", f"{first.transaction.amount.display} EUR, now {first.account.balance.display}")
    # What a client does that lost the answer: the same again. The outcome comes from the log.
    again = write.call("Deposit", deposit)
    expect("replayed, the first time", first.write.replayed, False)
    expect("replayed, the second time", again.write.replayed, True)
    expect("transaction of the replay", again.transaction, first.transaction)
    say("again", f"replayed: still transaction {again.transaction.transaction_id}")

    sent = write.call("Transfer", {"request_id": request_id(), "source_account_id": alice,
                                   "destination_account_id": bob, "amount": eur(30_00)})
    say("sent", f"{sent.transaction.amount.display} EUR, {bob} has {sent.destination_account.balance.display}")
    paid = write.call("PayBill", {"request_id": request_id(), "account_id": alice, "amount": eur(12_34),
                                  "payee": "City Power"})
    say("paid", f"{paid.transaction.amount.display} EUR to {paid.transaction.counterparty}")

    # The token makes the query wait until its answer includes the bill.
    fresh = {"at_least_as_fresh": paid.write.consistency_token}
    balance = read.call("GetBalance", {"account_id": alice, "consistency": fresh})
    expect("balance", balance.balance.minor_units, 57_66)
    say("balance", f"{balance.balance.display} EUR at version {balance.version}")

    statement, pages, page_token = [], [], ""
    while not pages or page_token:
        page = read.call("ListTransactions", {"account_id": alice, "page_size": 2, "page_token": page_token,
                                              "consistency": fresh})
        pages.append(len(page.transactions))
        statement.extend(page.transactions)
        page_token = page.next_page_token
    expect("entries per page", pages, [2, 1])
    expect("balances after each entry, newest first", [t.balance_after.minor_units for t in statement],
           [57_66, 70_00, 100_00])
    for entry in statement:
        kind = entry.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[entry.type].name
        say("statement", f"{kind} {entry.amount.display}, then {entry.balance_after.display}")

    # A refusal by the rules: a client decides by the reason, people read the message.
    error, details = write.refusal("Withdraw", {"request_id": request_id(), "account_id": alice,
                                                "amount": eur(1_000_00)})
    expect("code", error.code(), grpc.StatusCode.FAILED_PRECONDITION)
    reason = details["google.rpc.ErrorInfo"]
    expect("reason", (reason.domain, reason.reason), ("counterfoil", "INSUFFICIENT_FUNDS"))
    expect("applied", reason.metadata["applied"], "false")
    [violation] = details["google.rpc.PreconditionFailure"].violations
    expect("precondition", violation.type, "INSUFFICIENT_FUNDS")
    say("refused", f"{reason.reason} {dict(sorted(reason.metadata.items()))}: {violation.description}")

    # A request that can never be right: every wrong field is named at once.
    error, details = write.refusal("Deposit", {"request_id": "not-a-uuid", "account_id": alice, "amount": eur(-1)})
    expect("code", error.code(), grpc.StatusCode.INVALID_ARGUMENT)
    wrong = {v.field: v for v in details["google.rpc.BadRequest"].field_violations}
    expect("wrong fields", sorted(wrong), ["amount.minor_units", "request_id"])
    for field, violation in wrong.items():
        say("wrong", f"{field}: {violation.reason}, {violation.description}")

    # Several commands in one call, each by itself: one that is refused does not stop those after it.
    def deposit_to_bob(cents, **own):
        return {"deposit": {"account_id": bob, "amount": eur(cents), **own}}

    def withdraw_from_bob(cents, **own):
        return {"withdraw": {"account_id": bob, "amount": eur(cents), **own}}

    batch = write.call("ExecuteBatch", {"mode": "BATCH_MODE_INDEPENDENT", "commands": [
        deposit_to_bob(5_00, request_id=request_id()), withdraw_from_bob(90_00, request_id=request_id()),
        deposit_to_bob(1_00, request_id=request_id())]})
    expect("outcomes", [result.WhichOneof("outcome") for result in batch.results], ["deposit", "error", "deposit"])
    reason = write.details(batch.results[1].error)["google.rpc.ErrorInfo"].reason
    expect("reason", reason, "INSUFFICIENT_FUNDS")
    balance = batch.results[2].deposit.account.balance
    expect("balance", balance.minor_units, 36_00)
    say("batch", f"deposit, {reason}, deposit: {bob} has {balance.display}")

    # All or none: the commands have no request_id, the batch has one. Refused, nothing of it is kept.
    atomic = {"mode": "BATCH_MODE_ATOMIC", "request_id": request_id()}
    error, details = write.refusal("ExecuteBatch", {
        **atomic, "commands": [deposit_to_bob(4_00), withdraw_from_bob(90_00)]})
    expect("code", error.code(), grpc.StatusCode.FAILED_PRECONDITION)
    reason = details["google.rpc.ErrorInfo"]
    expect("reason", reason.reason, "BATCH_REFUSED")
    expect("refused command", (reason.metadata["index"], reason.metadata["command_reason"]), ("1", "INSUFFICIENT_FUNDS"))
    batch = write.call("ExecuteBatch", {**atomic, "commands": [deposit_to_bob(4_00), withdraw_from_bob(40_00)]})
    fresh = {"at_least_as_fresh": batch.consistency_token}
    balance = read.call("GetBalance", {"account_id": bob, "consistency": fresh})
    expect("balance", balance.balance.minor_units, 0)
    say("all of it", f"{reason.reason}, then applied: {bob} has {balance.balance.display}")

    # Commands as they come: many may be outstanding, and answers come in the order sent.
    commands = [deposit_to_bob(cents, request_id=request_id()) for cents in range(1, 101)]
    answers = [answer.result for answer in write.stream("ExecuteStream", ({"command": one} for one in commands))]
    expect("amounts", [answer.deposit.transaction.amount.minor_units for answer in answers], list(range(1, 101)))
    say("stream", f"{len(answers)} deposits: {bob} has {answers[-1].deposit.account.balance.display}")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"surprise: {error.code().name}: {error.details()}")
    except grpc.FutureTimeoutError:
        sys.exit("surprise: nobody answers at WRITE_SERVICE_ADDR or READ_SERVICE_ADDR")
