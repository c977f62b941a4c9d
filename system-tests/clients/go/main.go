// A household's money through Counterfoil, with code that `run` generates from the contract.
package main

import (
	"context"
	"fmt"
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

func readRefusal(err error) (found refusal) {
	refused := status.Convert(err) // code OK if there was no error
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
}
