// A household's money through Counterfoil, with code that `run` generates from the contract.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"reflect"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	readv1 "counterfoil-client/build/counterfoil/read/v1"
	typev1 "counterfoil-client/build/counterfoil/type/v1"
	writev1 "counterfoil-client/build/counterfoil/write/v1"
)

// Also how long a query waits for at_least_as_fresh. Without a deadline a call may wait for ever.
const deadline = 5 * time.Second

// Safe for commands too: the repeated call has the same request_id, so it is decided once.
const retryUnavailable = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
	"retryableStatusCodes": ["UNAVAILABLE"]}}]}`

// giveDeadline gives every call the deadline, unless its context has one.
func giveDeadline(ctx context.Context, method string, request, response any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	return invoke(ctx, method, request, response, connection, options...)
}

// connect returns a connection to a server that is ready.
func connect(ctx context.Context, variable, address, service string) *grpc.ClientConn {
	if given := os.Getenv(variable); given != "" {
		address = given
	}
	connection := must(grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(retryUnavailable), grpc.WithUnaryInterceptor(giveDeadline)))
	health := must(healthv1.NewHealthClient(connection).Check(ctx, &healthv1.HealthCheckRequest{Service: service}))
	expect(service, health.Status, healthv1.HealthCheckResponse_SERVING)
	return connection
}

// refusal is an error with the details that were with it.
type refusal struct {
	code  codes.Code
	info  *errdetails.ErrorInfo
	unmet []*errdetails.PreconditionFailure_Violation
	wrong []*errdetails.BadRequest_FieldViolation
}

// readRefusal reads the error of a call; the code is OK if there was none.
func readRefusal(err error) refusal {
	return readStatus(status.Convert(err))
}

// readStatus also reads status.FromProto of an error within a batch.
func readStatus(refused *status.Status) (found refusal) {
	found.code = refused.Code()
	for _, detail := range refused.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			found.info = detail
		case *errdetails.PreconditionFailure:
			found.unmet = detail.Violations
		case *errdetails.BadRequest:
			found.wrong = detail.FieldViolations
		}
	}
	return found
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatalf("surprise: %v", err)
	}
	return value
}

func expect(what string, found, expected any) {
	if !reflect.DeepEqual(found, expected) {
		log.Fatalf("surprise: %s is %v, expected %v", what, found, expected)
	}
}

func say(what, format string, values ...any) {
	fmt.Printf("%-10s %s\n", what, fmt.Sprintf(format, values...))
}

func eur(cents int64) *typev1.Money {
	return &typev1.Money{CurrencyCode: "EUR", MinorUnits: cents}
}

// streamed sends all on one stream, and returns the answers, which come in the same order.
func streamed(ctx context.Context, write writev1.WriteServiceClient, commands []*writev1.Command) (
	results []*writev1.CommandResult) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	stream := must(write.ExecuteStream(ctx))
	go func() { // many may be outstanding, if answers are read meanwhile
		for _, command := range commands {
			if stream.Send(&writev1.ExecuteStreamRequest{Command: command}) != nil {
				return // Recv says why
			}
		}
		stream.CloseSend()
	}()
	for {
		answer, err := stream.Recv()
		if err == io.EOF {
			return results
		}
		results = append(results, must(answer, err).Result)
	}
}

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	write := writev1.NewWriteServiceClient(
		connect(ctx, "WRITE_SERVICE_ADDR", "127.0.0.1:50051", "counterfoil.write.v1.WriteService"))
	read := readv1.NewReadServiceClient(
		connect(ctx, "READ_SERVICE_ADDR", "127.0.0.1:50052", "counterfoil.read.v1.ReadService"))
	say("health", "both services are serving")

	household := uuid.NewString()[:8]
	alice, bob := "alice-"+household, "bob-"+household
	for _, accountID := range []string{alice, bob} {
		must(write.OpenAccount(ctx, &writev1.OpenAccountRequest{RequestId: uuid.NewString(), AccountId: accountID,
			OwnerId: "household-" + household, CurrencyCode: "EUR"}))
	}
	say("opened", "%s, %s", alice, bob)

	deposit := &writev1.DepositRequest{RequestId: uuid.NewString(), AccountId: alice, Amount: eur(100_00),
		Reference: "salary"}
	first := must(write.Deposit(ctx, deposit))
	say("deposited", "%s EUR, now %s", first.Transaction.Amount.Display, first.Account.Balance.Display)
	// What a client does that lost the answer: the same again. The outcome comes from the log.
	again := must(write.Deposit(ctx, deposit))
	expect("replayed", []bool{first.Write.Replayed, again.Write.Replayed}, []bool{false, true})
	expect("transaction of the replay", again.Transaction.TransactionId, first.Transaction.TransactionId)
	say("again", "replayed: still transaction %s", again.Transaction.TransactionId)

	sent := must(write.Transfer(ctx, &writev1.TransferRequest{RequestId: uuid.NewString(), SourceAccountId: alice,
		DestinationAccountId: bob, Amount: eur(30_00), ExpectedVersion: &again.Account.Version}))
	say("sent", "%s EUR, %s has %s", sent.Transaction.Amount.Display, bob, sent.DestinationAccount.Balance.Display)
	paid := must(write.PayBill(ctx, &writev1.PayBillRequest{RequestId: uuid.NewString(), AccountId: alice,
		Amount: eur(12_34), Payee: "City Power"}))
	say("paid", "%s EUR to %s", paid.Transaction.Amount.Display, paid.Transaction.Counterparty)

	// The token makes the query wait until its answer includes the bill.
	fresh := &readv1.ReadConsistency{Requirement: &readv1.ReadConsistency_AtLeastAsFresh{
		AtLeastAsFresh: paid.Write.ConsistencyToken}}
	balance := must(read.GetBalance(ctx, &readv1.GetBalanceRequest{AccountId: alice, Consistency: fresh}))
	expect("balance", balance.Balance.MinorUnits, int64(57_66))
	say("balance", "%s EUR at version %d", balance.Balance.Display, balance.Version)

	var pages []int
	var balances []int64
	for pageToken := ""; len(pages) == 0 || pageToken != ""; {
		page := must(read.ListTransactions(ctx, &readv1.ListTransactionsRequest{AccountId: alice, PageSize: 2,
			PageToken: pageToken, Consistency: fresh}))
		for _, entry := range page.Transactions {
			say("statement", "%s %s, then %s", entry.Type, entry.Amount.Display, entry.BalanceAfter.Display)
			balances = append(balances, entry.BalanceAfter.MinorUnits)
		}
		pages, pageToken = append(pages, len(page.Transactions)), page.NextPageToken
	}
	expect("entries per page", pages, []int{2, 1})
	expect("balances after each entry, newest first", balances, []int64{57_66, 70_00, 100_00})

	// A refusal by the rules: a client decides by the reason, people read the message.
	_, err := write.Withdraw(ctx, &writev1.WithdrawRequest{RequestId: uuid.NewString(), AccountId: alice,
		Amount: eur(1_000_00)})
	poor := readRefusal(err)
	expect("code", poor.code, codes.FailedPrecondition)
	expect("reason", []string{poor.info.GetDomain(), poor.info.GetReason()}, []string{"counterfoil", "INSUFFICIENT_FUNDS"})
	expect("applied", poor.info.Metadata["applied"], "false")
	expect("number of preconditions", len(poor.unmet), 1)
	expect("precondition", poor.unmet[0].Type, "INSUFFICIENT_FUNDS")
	say("refused", "%s %v: %s", poor.info.Reason, poor.info.Metadata, poor.unmet[0].Description)

	// A request that can never be right: every wrong field is named at once.
	_, err = write.Deposit(ctx, &writev1.DepositRequest{RequestId: "not-a-uuid", AccountId: alice, Amount: eur(-1)})
	bad := readRefusal(err)
	expect("code", bad.code, codes.InvalidArgument)
	var fields []string
	for _, violation := range bad.wrong {
		fields = append(fields, violation.Field)
		say("wrong", "%s: %s, %s", violation.Field, violation.Reason, violation.Description)
	}
	expect("wrong fields", fields, []string{"request_id", "amount.minor_units"})

	// Several commands in one call, each by itself: one that is refused does not stop those after it.
	depositToBob := func(requestID string, cents int64) *writev1.Command {
		return &writev1.Command{Kind: &writev1.Command_Deposit{
			Deposit: &writev1.DepositRequest{RequestId: requestID, AccountId: bob, Amount: eur(cents)}}}
	}
	withdrawFromBob := func(requestID string, cents int64) *writev1.Command {
		return &writev1.Command{Kind: &writev1.Command_Withdraw{
			Withdraw: &writev1.WithdrawRequest{RequestId: requestID, AccountId: bob, Amount: eur(cents)}}}
	}
	batch := must(write.ExecuteBatch(ctx, &writev1.ExecuteBatchRequest{Mode: writev1.BatchMode_BATCH_MODE_INDEPENDENT,
		Commands: []*writev1.Command{depositToBob(uuid.NewString(), 5_00), withdrawFromBob(uuid.NewString(), 90_00),
			depositToBob(uuid.NewString(), 1_00)}}))
	expect("number of results", len(batch.Results), 3)
	expect("the first result", batch.Results[0].GetDeposit() != nil, true)
	second := readStatus(status.FromProto(batch.Results[1].GetError()))
	expect("reason", second.info.GetReason(), "INSUFFICIENT_FUNDS")
	third := batch.Results[2].GetDeposit().GetAccount().GetBalance()
	expect("balance", third.GetMinorUnits(), int64(36_00))
	say("batch", "deposit, %s, deposit: %s has %s", second.info.Reason, bob, third.Display)

	// All or none: the commands have no request_id, the batch has one. Refused, nothing of it is kept.
	atomic := &writev1.ExecuteBatchRequest{Mode: writev1.BatchMode_BATCH_MODE_ATOMIC, RequestId: uuid.NewString(),
		Commands: []*writev1.Command{depositToBob("", 4_00), withdrawFromBob("", 90_00)}}
	_, err = write.ExecuteBatch(ctx, atomic)
	none := readRefusal(err)
	expect("code", none.code, codes.FailedPrecondition)
	expect("reason", none.info.GetReason(), "BATCH_REFUSED")
	expect("refused command", []string{none.info.Metadata["index"], none.info.Metadata["command_reason"]},
		[]string{"1", "INSUFFICIENT_FUNDS"})
	atomic.Commands[1] = withdrawFromBob("", 40_00)
	all := must(write.ExecuteBatch(ctx, atomic))
	fresh = &readv1.ReadConsistency{Requirement: &readv1.ReadConsistency_AtLeastAsFresh{
		AtLeastAsFresh: all.ConsistencyToken}}
	balance = must(read.GetBalance(ctx, &readv1.GetBalanceRequest{AccountId: bob, Consistency: fresh}))
	expect("balance", balance.Balance.MinorUnits, int64(0))
	say("all of it", "%s, then applied: %s has %s", none.info.Reason, bob, balance.Balance.Display)

	// Commands as they come: answers come in the order sent.
	var deposits []*writev1.Command
	for cents := int64(1); cents <= 100; cents++ {
		deposits = append(deposits, depositToBob(uuid.NewString(), cents))
	}
	results := streamed(ctx, write, deposits)
	expect("number of answers", len(results), len(deposits))
	for index, result := range results {
		expect("amount", result.GetDeposit().GetTransaction().GetAmount().GetMinorUnits(), int64(index+1))
	}
	last := results[len(results)-1].GetDeposit().Account.Balance
	say("stream", "%d deposits: %s has %s", len(results), bob, last.Display)
}
