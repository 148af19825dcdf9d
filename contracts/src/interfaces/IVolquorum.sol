// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The round machine of a federated training network
/// @notice One contract serves many tasks. A task trains one model in rounds: participants commit to model updates,
/// reveal them, an aggregator publishes the combined model, and the result becomes final when nobody proved it wrong.
/// @dev Phases are derived from stored facts and `block.timestamp` in half-open intervals; nothing stores a phase.
/// Time only walks forward through them; the one step back is a proof that a published result is wrong, which returns
/// the round from Challenge to Aggregate. No account has any power over a task's money or results.
interface IVolquorum {
    // --------------------------------------------------------------------------------------------------- types

    /// @notice The states of a round, in the order in which time walks through them.
    enum Phase {
        None, // no such round
        Selection, // the round is open, the cohort is being fixed
        Commit, // participants bind themselves to an update
        Reveal, // participants open their commitments
        Availability, // revealed updates can be fetched and checked
        Aggregate, // an aggregator publishes the combined model
        Challenge, // the published result can be contested
        Final, // the published model is the task's model
        Void // the round ended without a result; everything is returned
    }

    /// @notice How revealed updates are combined, coordinate by coordinate, in integers.
    enum Rule {
        Mean,
        ClippedMean,
        Median,
        TrimmedMean
    }

    /// @notice What participants hide from each other. Only plain updates exist so far.
    enum Privacy {
        Plain
    }

    /// @notice Which part of a published result was proven wrong.
    enum Fault {
        Aggregate, // it is not what the rule makes of the revealed updates
        Model // it is not the base model plus the aggregate
    }

    /// @notice Everything that defines a task. Immutable, and hashed to the task id.
    struct TaskParams {
        bytes32 modelSpecHash; // hash of the model's architecture and parameter order
        bytes32 genesisModelRoot; // root of the model that round 1 starts from
        uint32 dimension; // number of model parameters
        uint16 chunkLength; // coordinates per Merkle leaf; a multiple of 16
        uint8 shift; // one unit of a coordinate is 2^-shift
        Rule rule;
        uint8 tolerance; // number of liars the rule is asked to tolerate
        Privacy privacy;
        uint8 quorum; // least number of revealed updates for a result
        uint8 cohort; // most seats a task has, at most 64
        uint64 clipNorm; // ClippedMean only, in units; zero for other rules
        uint64 maxSquaredNorm; // largest squared norm of an update, in squared units
        address aggregator; // may publish alone during `aggregatorSeconds`; zero: anybody may from the start
        uint32 selectionSeconds;
        uint32 commitSeconds;
        uint32 revealSeconds;
        uint32 availabilitySeconds;
        uint32 aggregatorSeconds; // the aggregator's head start inside `aggregateSeconds`
        uint32 aggregateSeconds;
        uint32 challengeSeconds;
        uint32 rounds; // most rounds the task will open, void ones included
        uint64 closesAt; // no round opens at or after this time
        uint96 stakeWei; // per seat
        uint96 bondWei; // per published round
        uint96 rewardWei; // per final round, split equally among its revealed updates
        bytes32 salt; // lets one sponsor create otherwise equal tasks
    }

    /// @notice A task's changing facts.
    struct TaskState {
        address sponsor; // zero: no such task
        uint32 round; // number of the latest round, counted from 1; zero before the first
        uint8 seats; // seats taken
        bool closed;
        uint96 fundsWei; // the sponsor's money that no round has spent
        bytes32 modelRoot; // root of the latest final model
    }

    /// @notice A round's facts; `phase` and deadlines follow from them.
    struct RoundState {
        uint48 openedAt; // zero: no such round
        uint48 publishedAt; // zero: nothing published, or what was published has been refuted
        uint48 restartedAt; // when the latest published result was refuted; zero: none was
        uint8 revealed; // number of revealed updates
        bool settled; // its money has been accounted for
        uint96 shareWei; // each revealed update's part of the reward, once settled as final
        bytes32 updatesHash; // running hash over the revealed updates, in order of reveal
        bytes32 aggregateRoot;
        bytes32 modelRoot;
        address publisher;
        uint96 bondWei; // locked by the publisher until settled or refuted
    }

    /// @notice A revealed update as its reveal recorded it.
    struct Update {
        address participant;
        bytes32 updateRoot;
        uint64 squaredNorm;
    }

    /// @notice One participant's place in a task.
    struct Seat {
        uint96 stakeWei;
        uint96 rewardWei; // earned in settled rounds and not claimed
        uint32 activeFrom; // first round this seat may commit in; zero: no seat
        uint32 revealedRound; // latest round revealed in whose reward is not yet in `rewardWei`; zero: none
        uint32 committedRound; // latest round committed in; zero: none
        bytes28 commitment; // low 224 bits of that commitment
    }

    /// @notice When each phase of a round ends (exclusive), as far as the facts known now determine it.
    struct Deadlines {
        uint64 selection;
        uint64 commit;
        uint64 reveal;
        uint64 availability;
        uint64 aggregator; // end of the aggregator's head start; once refuted: the time of that, for it is over
        uint64 aggregate; // `aggregateSeconds` after availability or, once refuted, after the time of that
        uint64 challenge; // zero until something is published
    }

    // -------------------------------------------------------------------------------------------------- events

    event TaskCreated(bytes32 indexed taskId, address indexed sponsor, TaskParams params);
    event TaskClosed(bytes32 indexed taskId, uint256 refundWei);
    event SeatTaken(bytes32 indexed taskId, address indexed participant, uint32 activeFrom);
    event SeatLeft(bytes32 indexed taskId, address indexed participant, uint256 creditedWei);
    event RoundOpened(bytes32 indexed taskId, uint32 indexed round, bytes32 baseModelRoot);
    event UpdateCommitted(
        bytes32 indexed taskId, uint32 indexed round, address indexed participant, bytes32 commitment
    );
    event UpdateRevealed(
        bytes32 indexed taskId,
        uint32 indexed round,
        address indexed participant,
        bytes32 updateRoot,
        uint64 squaredNorm
    );
    event AggregatePublished(
        bytes32 indexed taskId,
        uint32 indexed round,
        address indexed publisher,
        bytes32 aggregateRoot,
        bytes32 modelRoot,
        bytes32 updatesHash
    );
    event ResultRefuted(
        bytes32 indexed taskId,
        uint32 indexed round,
        address indexed publisher,
        address challenger,
        Fault fault,
        uint32 chunk,
        uint256 awardWei,
        uint256 lostWei
    );
    event RoundFinalised(bytes32 indexed taskId, uint32 indexed round, bytes32 modelRoot, uint96 shareWei);
    event RoundVoided(bytes32 indexed taskId, uint32 indexed round, uint8 revealed);
    event RewardClaimed(bytes32 indexed taskId, address indexed participant, uint256 amountWei);
    event Withdrawn(address indexed account, address indexed to, uint256 amountWei);

    // -------------------------------------------------------------------------------------------------- errors

    /// @notice Thrown when a task parameter is out of its range; `field` is its name.
    error InvalidParameter(bytes32 field, uint256 value);
    /// @notice Thrown when a task with the same sponsor and parameters exists.
    error TaskExists(bytes32 taskId);
    /// @notice Thrown when no task has this id.
    error UnknownTask(bytes32 taskId);
    /// @notice Thrown when a call carries another amount than the exact one it must.
    error WrongValue(uint256 sentWei, uint256 requiredWei);
    /// @notice Thrown when the task was closed.
    error TaskIsClosed(bytes32 taskId);
    /// @notice Thrown when a task may still open rounds or has one running.
    error TaskNotOver(bytes32 taskId, uint32 round, Phase current);
    /// @notice Thrown when all seats of a task are taken.
    error CohortFull(bytes32 taskId, uint8 cohort);
    /// @notice Thrown when the account has a seat already.
    error AlreadySeated(bytes32 taskId, address account);
    /// @notice Thrown when the account has no seat that may act in this round.
    error NotSeated(bytes32 taskId, address account, uint32 round);
    /// @notice Thrown when a seat is bound to a running round by its commitment.
    error SeatServing(bytes32 taskId, address account, uint32 round);
    /// @notice Thrown when a call names another round than the task's latest.
    error WrongRound(bytes32 taskId, uint32 given, uint32 current);
    /// @notice Thrown when a round is not in the phase that the call needs.
    error WrongPhase(bytes32 taskId, uint32 round, Phase current, Phase required);
    /// @notice Thrown when a round cannot open because the latest one has not ended.
    error RoundRunning(bytes32 taskId, uint32 round, Phase current);
    /// @notice Thrown when all rounds of a task were opened or its closing time has come.
    error NoMoreRounds(bytes32 taskId, uint32 round, uint64 closesAt);
    /// @notice Thrown when too few seats are taken for a round to reach its quorum.
    error QuorumUnreachable(bytes32 taskId, uint8 seats, uint8 quorum);
    /// @notice Thrown when a commitment's stored bits are all zero.
    error EmptyCommitment();
    /// @notice Thrown when a reveal does not open the commitment made in this round.
    error CommitmentMismatch(bytes32 taskId, uint32 round, address account, bytes28 committed, bytes28 opened);
    /// @notice Thrown when the seat did not commit in this round.
    error NotCommitted(bytes32 taskId, uint32 round, address account);
    /// @notice Thrown when the seat revealed in this round before.
    error AlreadyRevealed(bytes32 taskId, uint32 round, address account);
    /// @notice Thrown when an update's squared norm exceeds the task's bound.
    error NormTooLarge(uint64 squaredNorm, uint64 maxSquaredNorm);
    /// @notice Thrown when another participant revealed the same update in this round.
    error DuplicateUpdate(bytes32 taskId, uint32 round, bytes32 updateRoot);
    /// @notice Thrown when somebody else publishes during the aggregator's head start.
    error AggregatorFirst(bytes32 taskId, uint32 round, address aggregator, uint64 until);
    /// @notice Thrown when a result was computed, or is contested, from another set of updates than the revealed one,
    /// or from the same in another order.
    error UpdatesMismatch(bytes32 taskId, uint32 round, bytes32 given, bytes32 revealed);
    /// @notice Thrown when a vector has no chunk of this number.
    error UnknownChunk(uint32 chunk, uint256 chunks);
    /// @notice Thrown when the openings of a challenge are not exactly as long as their layout asks for.
    error WrongLength(uint256 givenBytes, uint256 requiredBytes);
    /// @notice Thrown when an opening does not prove its chunk under its root; `index` counts openings from zero.
    error BadOpening(uint256 index);
    /// @notice Thrown when a contested chunk is what it must be.
    error NoFraud(bytes32 taskId, uint32 round, uint32 chunk);
    /// @notice Thrown when a published root is zero.
    error EmptyRoot();
    /// @notice Thrown when a round's money was accounted for before.
    error AlreadySettled(bytes32 taskId, uint32 round);
    /// @notice Thrown when there is nothing to pay out.
    error NothingToWithdraw(address account);
    /// @notice Thrown when the receiver refuses the money.
    error TransferFailed(address to, uint256 amountWei);

    // --------------------------------------------------------------------------------------------------- tasks

    /// @notice Creates a task; the caller is its sponsor and sends exactly `rounds * rewardWei`.
    function createTask(TaskParams calldata params) external payable returns (bytes32 taskId);

    /// @notice Ends a task that can open no further round and credits what no round spent to its sponsor.
    function closeTask(bytes32 taskId) external;

    /// @notice Takes a seat for exactly `stakeWei`; it may act from the next round that opens.
    function join(bytes32 taskId) external payable;

    /// @notice Gives the seat up and credits its stake and rewards, unless a commitment binds it to a running round.
    function leave(bytes32 taskId) external;

    // -------------------------------------------------------------------------------------------------- rounds

    /// @notice Opens the next round once the latest has ended, settling that one first if nobody did.
    function openRound(bytes32 taskId) external returns (uint32 round);

    /// @notice Binds the caller to an update; a later call in the same phase replaces it.
    function commitUpdate(bytes32 taskId, uint32 round, bytes32 commitment) external;

    /// @notice Opens the caller's commitment. The update's root is `SumTree.root(dimension, squaredNorm, treeTop)`,
    /// so the norm is a part of what was committed to.
    function revealUpdate(bytes32 taskId, uint32 round, bytes32 treeTop, uint64 squaredNorm, bytes32 salt) external;

    /// @notice Publishes a round's result with exactly `bondWei`; `updatesHash` names the updates it was computed from.
    function publish(bytes32 taskId, uint32 round, bytes32 aggregateRoot, bytes32 modelRoot, bytes32 updatesHash)
        external
        payable;

    /// @notice Proves that one chunk of the published aggregate is not what the task's rule makes of that chunk of the
    /// revealed updates. The round returns to Aggregate for whoever publishes next: nothing is published any more, the
    /// aggregator's head start is over, and `aggregateSeconds` count from now on. Half of the publisher's bond is
    /// credited to the caller; the other half, and an odd wei, are lost to everybody, so that nobody gains by
    /// refuting himself.
    /// @param updates Every update revealed in the round, in order of reveal.
    /// @param chunk Number of the chunk, from zero.
    /// @param openings One opening of the chunk per update, in the order of `updates`, then one of the aggregate,
    /// without anything between or behind them.
    ///
    /// An opening is, with c = `chunkLength`, w bytes per integer (2 in an update and an aggregate, 4 in a model) and
    /// D = ceil(log2(ceil(dimension / c))), everything big-endian:
    ///   - c * w bytes: the chunk, c integers in two's complement, the last chunk padded with zeros;
    ///   - D times 40 bytes, the siblings on the way from the leaf up to the top:
    ///       32 bytes: the sibling's hash, zero for a padding leaf,
    ///        8 bytes: the sum of squares below the sibling, zero in a model.
    /// Neither index nor length is written: all openings of a call share the chunk's number, and one opening is
    /// c * w + 40 * D bytes long. So `openings` has (n + 1) * (2 * c + 40 * D) bytes; errors count the updates from 0
    /// and give the aggregate the index n. Padding must be zero in an update and in a base model; in what was published
    /// it is judged as all other coordinates are.
    function challengeAggregate(
        bytes32 taskId,
        uint32 round,
        Update[] calldata updates,
        uint32 chunk,
        bytes calldata openings
    ) external;

    /// @notice Proves that one chunk of the published model is not the same chunk of the round's base model plus that
    /// of the published aggregate. A sum that an int32 cannot hold proves it too: no model is right then. What follows
    /// is the same as for `challengeAggregate`.
    /// @param openings Openings of the chunk as described there, in this order: 0 the base model (the task's
    /// `modelRoot`, w = 4), 1 the published aggregate (w = 2), 2 the published model (w = 4); in all
    /// 10 * c + 120 * D bytes.
    function challengeModel(bytes32 taskId, uint32 round, uint32 chunk, bytes calldata openings) external;

    /// @notice Makes the latest round's result the task's model and accounts for its reward and bond.
    function finalise(bytes32 taskId) external;

    /// @notice Accounts for a latest round that ended without a result.
    function voidRound(bytes32 taskId) external;

    // --------------------------------------------------------------------------------------------------- money

    /// @notice Credits a participant with the rewards of settled rounds; anybody may call it.
    function claim(bytes32 taskId, address participant) external;

    /// @notice Pays the caller's whole credit out to `to`.
    function withdraw(address to) external;

    // --------------------------------------------------------------------------------------------------- views

    /// @notice What an account may withdraw.
    function creditOf(address account) external view returns (uint256);

    /// @notice What refuted publishers lost to nobody. It lies in the contract for ever.
    function burnedWei() external view returns (uint256);

    function taskIdOf(address sponsor, TaskParams calldata params) external view returns (bytes32);

    function taskParams(bytes32 taskId) external view returns (TaskParams memory);

    function taskState(bytes32 taskId) external view returns (TaskState memory);

    function roundState(bytes32 taskId, uint32 round) external view returns (RoundState memory);

    function seat(bytes32 taskId, address account) external view returns (Seat memory);

    /// @notice The phase of a round at the block's time.
    function phase(bytes32 taskId, uint32 round) external view returns (Phase);

    function deadlines(bytes32 taskId, uint32 round) external view returns (Deadlines memory);

    /// @notice The commitment that a participant makes to an update in the task's latest round.
    function commitmentOf(
        bytes32 taskId,
        uint32 round,
        address participant,
        bytes32 updateRoot,
        uint64 squaredNorm,
        bytes32 salt
    ) external view returns (bytes32);
}
