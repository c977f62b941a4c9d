import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.Status;
import counterfoil.read.v1.ReadServiceGrpc;
import counterfoil.read.v1.ReadServiceOuterClass.*;
import counterfoil.type.v1.AccountOuterClass.Transaction;
import counterfoil.type.v1.MoneyOuterClass.Money;
import counterfoil.write.v1.WriteServiceGrpc;
import counterfoil.write.v1.WriteServiceOuterClass.*;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;

/** A household's money through Counterfoil, with classes that Maven generates from the contract. */
public final class Client {
    /** Also how long a query waits for at_least_as_fresh. Without a deadline a call may wait for ever. */
    private static final long DEADLINE_SECONDS = 5;

    /** Safe for commands too: the repeated call has the same request_id, so it is decided once. */
    private static final Map<String, ?> RETRY_UNAVAILABLE = Map.of("methodConfig", List.of(Map.of(
            "name", List.of(Map.of()),
            "retryPolicy", Map.of(
                    "maxAttempts", 4.0, "initialBackoff", "0.1s", "maxBackoff", "1s", "backoffMultiplier", 2.0,
                    "retryableStatusCodes", List.of("UNAVAILABLE")))));

    /** Every call gets a deadline of its own; one set on a stub would run from then, for all its calls. */
    private static final class GiveDeadline implements ClientInterceptor {
        @Override
        public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
            return next.newCall(method, options.withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS));
        }
    }

    /** Connects to a server and sees that it is ready. */
    private static ManagedChannel connect(String variable, String standard, String service) {
        String address = System.getenv().getOrDefault(variable, standard);
        ManagedChannel channel = ManagedChannelBuilder.forTarget(address).usePlaintext()
                .defaultServiceConfig(RETRY_UNAVAILABLE).enableRetry().intercept(new GiveDeadline()).build();
        var health = HealthGrpc.newBlockingStub(channel)
                .check(HealthCheckRequest.newBuilder().setService(service).build());
        expect(service, health.getStatus(), ServingStatus.SERVING);
        return channel;
    }

    /** Sends what must be refused. */
    private static Status refusal(Runnable call) {
        try {
            call.run();
        } catch (StatusRuntimeException refused) {
            return StatusProto.fromThrowable(refused);
        }
        throw new AssertionError("a call was accepted, and should have been refused");
    }

    /** The error detail of one type. */
    private static <T extends Message> T detail(Status status, Class<T> type) throws InvalidProtocolBufferException {
        for (Any packed : status.getDetailsList()) {
            if (packed.is(type)) {
                return packed.unpack(type);
            }
        }
        throw new AssertionError("no " + type.getSimpleName() + " with " + status.getMessage());
    }

    private static void expect(String what, Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError(what + " is " + found + ", expected " + expected);
        }
    }

    private static void say(String what, String format, Object... values) {
        System.out.printf("%-10s %s%n", what, String.format(format, values));
    }

    private static String requestId() {
        return UUID.randomUUID().toString();
    }

    private static Money eur(long cents) {
        return Money.newBuilder().setCurrencyCode("EUR").setMinorUnits(cents).build();
    }

    private static Command depositTo(String accountId, String requestId, long cents) {
        return Command.newBuilder().setDeposit(DepositRequest.newBuilder().setRequestId(requestId)
                .setAccountId(accountId).setAmount(eur(cents))).build();
    }

    private static Command withdrawFrom(String accountId, String requestId, long cents) {
        return Command.newBuilder().setWithdraw(WithdrawRequest.newBuilder().setRequestId(requestId)
                .setAccountId(accountId).setAmount(eur(cents))).build();
    }

    /** Sends all on one stream, and gives the answers, which come in the same order. */
    private static List<CommandResult> streamed(ManagedChannel channel, List<Command> commands) throws Exception {
        var results = new ArrayList<CommandResult>();
        var ended = new CompletableFuture<List<CommandResult>>();
        var requests = WriteServiceGrpc.newStub(channel).executeStream(new StreamObserver<ExecuteStreamResponse>() {
            @Override
            public void onNext(ExecuteStreamResponse answer) {
                results.add(answer.getResult());
            }

            @Override
            public void onError(Throwable error) {
                ended.completeExceptionally(error);
            }

            @Override
            public void onCompleted() {
                ended.complete(results);
            }
        });
        for (Command command : commands) {
            requests.onNext(ExecuteStreamRequest.newBuilder().setCommand(command).build());
        }
        requests.onCompleted();
        return ended.get();
    }

    private static void runSeveral(ManagedChannel writeChannel, ReadServiceGrpc.ReadServiceBlockingStub read,
            String bob) throws Exception {
        var write = WriteServiceGrpc.newBlockingStub(writeChannel);

        // Several commands in one call, each by itself: one that is refused does not stop those after it.
        var batch = write.executeBatch(ExecuteBatchRequest.newBuilder().setMode(BatchMode.BATCH_MODE_INDEPENDENT)
                .addCommands(depositTo(bob, requestId(), 5_00)).addCommands(withdrawFrom(bob, requestId(), 90_00))
                .addCommands(depositTo(bob, requestId(), 1_00)).build());
        expect("outcomes", batch.getResultsList().stream().map(result -> result.getOutcomeCase().name()).toList(),
                List.of("DEPOSIT", "ERROR", "DEPOSIT"));
        String reason = detail(batch.getResults(1).getError(), ErrorInfo.class).getReason();
        expect("reason", reason, "INSUFFICIENT_FUNDS");
        Money after = batch.getResults(2).getDeposit().getAccount().getBalance();
        expect("balance", after.getMinorUnits(), 36_00L);
        say("batch", "deposit, %s, deposit: %s has %s", reason, bob, after.getDisplay());

        // All or none: the commands have no request_id, the batch has one. Refused, nothing of it is kept.
        var atomic = ExecuteBatchRequest.newBuilder().setMode(BatchMode.BATCH_MODE_ATOMIC).setRequestId(requestId())
                .addCommands(depositTo(bob, "", 4_00)).addCommands(withdrawFrom(bob, "", 90_00));
        Status none = refusal(() -> write.executeBatch(atomic.build()));
        expect("code", none.getCode(), io.grpc.Status.Code.FAILED_PRECONDITION.value());
        ErrorInfo why = detail(none, ErrorInfo.class);
        expect("reason", why.getReason(), "BATCH_REFUSED");
        expect("refused command", why.getMetadataOrThrow("index") + " " + why.getMetadataOrThrow("command_reason"),
                "1 INSUFFICIENT_FUNDS");
        var all = write.executeBatch(atomic.setCommands(1, withdrawFrom(bob, "", 40_00)).build());
        var fresh = ReadConsistency.newBuilder().setAtLeastAsFresh(all.getConsistencyToken()).build();
        var balance = read.getBalance(GetBalanceRequest.newBuilder().setAccountId(bob).setConsistency(fresh).build());
        expect("balance", balance.getBalance().getMinorUnits(), 0L);
        say("all of it", "%s, then applied: %s has %s", why.getReason(), bob, balance.getBalance().getDisplay());

        // Commands as they come: many may be outstanding, and answers come in the order sent.
        var deposits = LongStream.rangeClosed(1, 100).mapToObj(cents -> depositTo(bob, requestId(), cents)).toList();
        var answers = streamed(writeChannel, deposits).stream().map(CommandResult::getDeposit).toList();
        expect("amounts",
                answers.stream().map(answer -> answer.getTransaction().getAmount().getMinorUnits()).toList(),
                LongStream.rangeClosed(1, 100).boxed().toList());
        say("stream", "%d deposits: %s has %s", answers.size(), bob,
                answers.get(answers.size() - 1).getAccount().getBalance().getDisplay());
    }

    private static void run(ManagedChannel writeChannel, ManagedChannel readChannel) throws Exception {
        var write = WriteServiceGrpc.newBlockingStub(writeChannel);
        var read = ReadServiceGrpc.newBlockingStub(readChannel);
        say("health", "both services are serving");

        String household = requestId().substring(0, 8);
        String alice = "alice-" + household;
        String bob = "bob-" + household;
        for (String accountId : List.of(alice, bob)) {
            write.openAccount(OpenAccountRequest.newBuilder().setRequestId(requestId()).setAccountId(accountId)
                    .setOwnerId("household-" + household).setCurrencyCode("EUR").build());
        }
        say("opened", "%s, %s", alice, bob);

        var deposit = DepositRequest.newBuilder().setRequestId(requestId()).setAccountId(alice)
                .setAmount(eur(100_00)).setReference("salary").build();
        var first = write.deposit(deposit);
        say("deposited", "%s EUR, now %s", first.getTransaction().getAmount().getDisplay(),
                first.getAccount().getBalance().getDisplay());
        // What a client does that lost the answer: the same again. The outcome comes from the log.
        var again = write.deposit(deposit);
        expect("replayed, the first time", first.getWrite().getReplayed(), false);
        expect("replayed, the second time", again.getWrite().getReplayed(), true);
        expect("transaction of the replay", again.getTransaction(), first.getTransaction());
        say("again", "replayed: still transaction %s", again.getTransaction().getTransactionId());

        var sent = write.transfer(TransferRequest.newBuilder().setRequestId(requestId()).setSourceAccountId(alice)
                .setDestinationAccountId(bob).setAmount(eur(30_00))
                .setExpectedVersion(again.getAccount().getVersion()).build());
        say("sent", "%s EUR, %s has %s", sent.getTransaction().getAmount().getDisplay(), bob,
                sent.getDestinationAccount().getBalance().getDisplay());
        var paid = write.payBill(PayBillRequest.newBuilder().setRequestId(requestId()).setAccountId(alice)
                .setAmount(eur(12_34)).setPayee("City Power").build());
        say("paid", "%s EUR to %s", paid.getTransaction().getAmount().getDisplay(),
                paid.getTransaction().getCounterparty());

        // The token makes the query wait until its answer includes the bill.
        var fresh = ReadConsistency.newBuilder().setAtLeastAsFresh(paid.getWrite().getConsistencyToken()).build();
        var balance = read.getBalance(GetBalanceRequest.newBuilder().setAccountId(alice).setConsistency(fresh).build());
        expect("balance", balance.getBalance().getMinorUnits(), 57_66L);
        say("balance", "%s EUR at version %d", balance.getBalance().getDisplay(), balance.getVersion());

        var statement = new ArrayList<Transaction>();
        var pages = new ArrayList<Integer>();
        String pageToken = "";
        do {
            var page = read.listTransactions(ListTransactionsRequest.newBuilder().setAccountId(alice)
                    .setPageSize(2).setPageToken(pageToken).setConsistency(fresh).build());
            statement.addAll(page.getTransactionsList());
            pages.add(page.getTransactionsCount());
            pageToken = page.getNextPageToken();
        } while (!pageToken.isEmpty());
        expect("entries per page", pages, List.of(2, 1));
        expect("balances after each entry, newest first",
                statement.stream().map(entry -> entry.getBalanceAfter().getMinorUnits()).toList(),
                List.of(57_66L, 70_00L, 100_00L));
        for (Transaction entry : statement) {
            say("statement", "%s %s, then %s", entry.getType(), entry.getAmount().getDisplay(),
                    entry.getBalanceAfter().getDisplay());
        }

        // A refusal by the rules: a client decides by the reason, people read the message.
        Status poor = refusal(() -> write.withdraw(WithdrawRequest.newBuilder().setRequestId(requestId())
                .setAccountId(alice).setAmount(eur(1_000_00)).build()));
        expect("code", poor.getCode(), io.grpc.Status.Code.FAILED_PRECONDITION.value());
        ErrorInfo info = detail(poor, ErrorInfo.class);
        expect("reason", info.getDomain() + " " + info.getReason(), "counterfoil INSUFFICIENT_FUNDS");
        expect("applied", info.getMetadataMap().get("applied"), "false");
        var unmet = detail(poor, PreconditionFailure.class).getViolations(0);
        expect("precondition", unmet.getType(), "INSUFFICIENT_FUNDS");
        say("refused", "%s %s: %s", info.getReason(), new TreeMap<>(info.getMetadataMap()), unmet.getDescription());

        // A request that can never be right: every wrong field is named at once.
        Status bad = refusal(() -> write.deposit(DepositRequest.newBuilder().setRequestId("not-a-uuid")
                .setAccountId(alice).setAmount(eur(-1)).build()));
        expect("code", bad.getCode(), io.grpc.Status.Code.INVALID_ARGUMENT.value());
        var fields = new TreeSet<String>();
        for (var violation : detail(bad, BadRequest.class).getFieldViolationsList()) {
            fields.add(violation.getField());
            say("wrong", "%s: %s, %s", violation.getField(), violation.getReason(), violation.getDescription());
        }
        expect("wrong fields", fields.toString(), "[amount.minor_units, request_id]");

        runSeveral(writeChannel, read, bob);
    }

    public static void main(String[] arguments) throws Exception {
        try {
            var write = connect("WRITE_SERVICE_ADDR", "127.0.0.1:50051", "counterfoil.write.v1.WriteService");
            var read = connect("READ_SERVICE_ADDR", "127.0.0.1:50052", "counterfoil.read.v1.ReadService");
            run(write, read);
            write.shutdownNow();
            read.shutdownNow();
        } catch (StatusRuntimeException | ExecutionException | AssertionError surprise) {
            Throwable cause = surprise.getCause();
            System.err.println("surprise: " + surprise.getMessage() + (cause == null ? "" : ": " + cause.getMessage()));
            System.exit(1);
        }
    }
}
