"""A household's money through Counterfoil, with classes that `run` generates from the contract."""

import json
import os
import sys
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from counterfoil.read.v1 import read_service_pb2 as read_v1
from counterfoil.read.v1.read_service_pb2_grpc import ReadServiceStub
from counterfoil.type.v1.account_pb2 import TransactionType
from counterfoil.type.v1.money_pb2 import Money
from counterfoil.write.v1 import write_service_pb2 as write_v1
from counterfoil.write.v1.write_service_pb2_grpc import WriteServiceStub

# Also how long a query waits for `at_least_as_fresh`. Without a deadline a call may wait for ever.
DEADLINE_SECONDS = 5

# Safe for commands too: the repeated call has the same request_id, so it is decided once.
RETRY_UNAVAILABLE = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]})


def connect(variable, default, service):
    """A channel to a server that is ready."""
    options = [("grpc.service_config", RETRY_UNAVAILABLE)]
    channel = grpc.insecure_channel(os.environ.get(variable, default), options=options)
    request = health_pb2.HealthCheckRequest(service=service)
    health = health_pb2_grpc.HealthStub(channel).Check(request, timeout=DEADLINE_SECONDS)
    expect(f"health of {service}", health.status, health_pb2.HealthCheckResponse.SERVING)
    return channel


def details_of(status):
    """The details of a google.rpc.Status, by their type."""
    details = {}
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest,
                     error_details_pb2.PreconditionFailure):
            if packed.Is(kind.DESCRIPTOR):
                details[kind] = kind.FromString(packed.value)
    return details


def refusal(rpc, request):
    """Sends what must be refused; gives the code and the details by their type."""
    try:
        rpc(request, timeout=DEADLINE_SECONDS)
    except grpc.RpcError as error:
        return error.code(), details_of(rpc_status.from_call(error))
    sys.exit(f"surprise: {request} was accepted, and should have been refused")


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"surprise: {what} is {found!r}, expected {expected!r}")


def say(what, text):
    print(f"{what:<10} {text}")


def request_id():
    return str(uuid.uuid4())


def eur(cents):
    return Money(currency_code="EUR", minor_units=cents)


def main():
    write = WriteServiceStub(connect("WRITE_SERVICE_ADDR", "127.0.0.1:50051", "counterfoil.write.v1.WriteService"))
    read = ReadServiceStub(connect("READ_SERVICE_ADDR", "127.0.0.1:50052", "counterfoil.read.v1.ReadService"))
    say("health", "both services are serving")

    household = uuid.uuid4().hex[:8]
    alice, bob = f"alice-{household}", f"bob-{household}"
    for account_id in (alice, bob):
        write.OpenAccount(write_v1.OpenAccountRequest(
            request_id=request_id(), account_id=account_id, owner_id=f"household-{household}",
            currency_code="EUR"), timeout=DEADLINE_SECONDS)
    say("opened", f"{alice}, {bob}")

    deposit = write_v1.DepositRequest(request_id=request_id(), account_id=alice, amount=eur(100_00),
                                      reference="salary")
    first = write.Deposit(deposit, timeout=DEADLINE_SECONDS)
    say("deposited", f"{first.transaction.amount.display} EUR, now {first.account.balance.display}")
    # What a client does that lost the answer: the same again. The outcome comes from the log.
    again = write.Deposit(deposit, timeout=DEADLINE_SECONDS)
    expect("replayed, the first time", first.write.replayed, False)
    expect("replayed, the second time", again.write.replayed, True)
    expect("transaction of the replay", again.transaction, first.transaction)
    say("again", f"replayed: still transaction {again.transaction.transaction_id}")

    sent = write.Transfer(write_v1.TransferRequest(
        request_id=request_id(), source_account_id=alice, destination_account_id=bob, amount=eur(30_00),
        expected_version=again.account.version), timeout=DEADLINE_SECONDS)
    say("sent", f"{sent.transaction.amount.display} EUR, {bob} has {sent.destination_account.balance.display}")
    paid = write.PayBill(write_v1.PayBillRequest(
        request_id=request_id(), account_id=alice, amount=eur(12_34), payee="City Power"),
        timeout=DEADLINE_SECONDS)
    say("paid", f"{paid.transaction.amount.display} EUR to {paid.transaction.counterparty}")

    # The token makes the query wait until its answer includes the bill.
    fresh = read_v1.ReadConsistency(at_least_as_fresh=paid.write.consistency_token)
    balance = read.GetBalance(read_v1.GetBalanceRequest(account_id=alice, consistency=fresh),
                              timeout=DEADLINE_SECONDS)
    expect("balance", balance.balance.minor_units, 57_66)
    say("balance", f"{balance.balance.display} EUR at version {balance.version}")

    statement, pages, page_token = [], [], ""
    while not pages or page_token:
        page = read.ListTransactions(read_v1.ListTransactionsRequest(
            account_id=alice, page_size=2, page_token=page_token, consistency=fresh), timeout=DEADLINE_SECONDS)
        pages.append(len(page.transactions))
        statement.extend(page.transactions)
        page_token = page.next_page_token
    expect("entries per page", pages, [2, 1])
    expect("balances after each entry, newest first", [t.balance_after.minor_units for t in statement],
           [57_66, 70_00, 100_00])
    for entry in statement:
        say("statement", f"{TransactionType.Name(entry.type)} {entry.amount.display}, "
                         f"then {entry.balance_after.display}")

    # A refusal by the rules: a client decides by the reason, people read the message.
    code, details = refusal(write.Withdraw, write_v1.WithdrawRequest(
        request_id=request_id(), account_id=alice, amount=eur(1_000_00)))
    expect("code", code, grpc.StatusCode.FAILED_PRECONDITION)
    reason = details[error_details_pb2.ErrorInfo]
    expect("reason", (reason.domain, reason.reason), ("counterfoil", "INSUFFICIENT_FUNDS"))
    expect("applied", reason.metadata["applied"], "false")
    [violation] = details[error_details_pb2.PreconditionFailure].violations
    expect("precondition", violation.type, "INSUFFICIENT_FUNDS")
    say("refused", f"{reason.reason} {dict(sorted(reason.metadata.items()))}: {violation.description}")

    # A request that can never be right: every wrong field is named at once.
    code, details = refusal(write.Deposit, write_v1.DepositRequest(
        request_id="not-a-uuid", account_id=alice, amount=eur(-1)))
    expect("code", code, grpc.StatusCode.INVALID_ARGUMENT)
    wrong = {v.field: v for v in details[error_details_pb2.BadRequest].field_violations}
    expect("wrong fields", sorted(wrong), ["amount.minor_units", "request_id"])
    for field, violation in wrong.items():
        say("wrong", f"{field}: {violation.reason}, {violation.description}")

    # Several commands in one call, each by itself: one that is refused does not stop those after it.
    def deposit_to_bob(cents, **own):
        return write_v1.Command(deposit=write_v1.DepositRequest(account_id=bob, amount=eur(cents), **own))

    def withdraw_from_bob(cents, **own):
        return write_v1.Command(withdraw=write_v1.WithdrawRequest(account_id=bob, amount=eur(cents), **own))

    batch = write.ExecuteBatch(write_v1.ExecuteBatchRequest(
        mode=write_v1.BATCH_MODE_INDEPENDENT,
        commands=[deposit_to_bob(5_00, request_id=request_id()), withdraw_from_bob(90_00, request_id=request_id()),
                  deposit_to_bob(1_00, request_id=request_id())]), timeout=DEADLINE_SECONDS)
    expect("outcomes", [result.WhichOneof("outcome") for result in batch.results], ["deposit", "error", "deposit"])
    reason = details_of(batch.results[1].error)[error_details_pb2.ErrorInfo].reason
    expect("reason", reason, "INSUFFICIENT_FUNDS")
    balance = batch.results[2].deposit.account.balance
    expect("balance", balance.minor_units, 36_00)
    say("batch", f"deposit, {reason}, deposit: {bob} has {balance.display}")

    # All or none: the commands have no request_id, the batch has one. Refused, nothing of it is kept.
    atomic = write_v1.ExecuteBatchRequest(
        mode=write_v1.BATCH_MODE_ATOMIC, request_id=request_id(),
        commands=[deposit_to_bob(4_00), withdraw_from_bob(90_00)])
    code, details = refusal(write.ExecuteBatch, atomic)
    expect("code", code, grpc.StatusCode.FAILED_PRECONDITION)
    reason = details[error_details_pb2.ErrorInfo]
    expect("reason", reason.reason, "BATCH_REFUSED")
    expect("refused command", (reason.metadata["index"], reason.metadata["command_reason"]), ("1", "INSUFFICIENT_FUNDS"))
    atomic.commands[1].withdraw.amount.minor_units = 40_00
    batch = write.ExecuteBatch(atomic, timeout=DEADLINE_SECONDS)
    fresh = read_v1.ReadConsistency(at_least_as_fresh=batch.consistency_token)
    balance = read.GetBalance(read_v1.GetBalanceRequest(account_id=bob, consistency=fresh), timeout=DEADLINE_SECONDS)
    expect("balance", balance.balance.minor_units, 0)
    say("all of it", f"{reason.reason}, then applied: {bob} has {balance.balance.display}")

    # Commands as they come: many may be outstanding, and answers come in the order sent.
    commands = [deposit_to_bob(cents, request_id=request_id()) for cents in range(1, 101)]
    sent = (write_v1.ExecuteStreamRequest(command=command) for command in commands)
    answers = [answer.result for answer in write.ExecuteStream(sent, timeout=DEADLINE_SECONDS)]
    expect("amounts", [answer.deposit.transaction.amount.minor_units for answer in answers], list(range(1, 101)))
    say("stream", f"{len(answers)} deposits: {bob} has {answers[-1].deposit.account.balance.display}")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"surprise: {error.code().name}: {error.details()}")
