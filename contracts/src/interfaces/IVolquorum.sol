// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The round machine of a federated training network
/// @notice One contract serves many tasks. A task trains one model in rounds: participants commit to model updates,
/// reveal them, an aggregator publishes the combined model, and the result becomes final when nobody proved it wrong, or,
/// where one transaction cannot prove that, when enough participants voted for it.
/// @dev Phases are derived from stored facts and `block.timestamp` in half-open intervals; nothing stores a phase.
/// Time only walks forward through them; the one step back is a refutation of a published result, which returns the
/// round from Challenge to Aggregate. No account has any power over a task's money or results.
///
/// Whoever cannot fetch bytes behind a root may flag them, for a deposit of `flagWei`. They are answered by posting
/// the bytes in parts, which earns the deposit; what nobody posts is unavailable. An update that is unavailable, or
/// whose norm was proven false, is excluded from its round; the other revealed ones are the included ones.
///
/// Money is in the task's currency, ETH or an ERC-20 token, and in its smallest unit, whatever a name says: `Wei` is
/// short for it. It moves into credits only; `withdraw` pays them out.
interface IVolquorum {
    // --------------------------------------------------------------------------------------------------- types

    /// @notice The states of a round, in the order in which time walks through them.
    enum Phase {
        None, // no such round
        Selection, // the round is open, the cohort is being fixed
        Commit, // participants bind themselves to an update
        Reveal, // participants open their commitments
        Availability, // revealed updates can be fetched, flagged, posted, and their norms contested
        Aggregate, // an aggregator publishes the combined model; which updates are included is fixed
        Challenge, // the published result can be contested, and voted for
        Final, // the published model is the task's model
        Void // the round ended without a result; everything but what was slashed is returned
    }

    /// @notice How included updates are combined, in integers: coordinate by coordinate, but for what `preSteps` do to
    /// whole updates before, and rules from MultiKrum on, which choose or weigh them. From Bulyan on, whether a result
    /// is right is for votes to say.
    enum Rule {
        Mean,
        ClippedMean,
        Median,
        TrimmedMean,
        MultiKrum, // the mean of the n - tolerance updates that Krum ranks best
        Krum, // the update that is nearest to its n - tolerance - 2 nearest
        GeometricMedian, // 32 steps from the mean towards the point with the least sum of distances
        CenteredClipping, // a step from zero by the mean of the updates, each clipped to `clipNorm`
        // The mean of all but the `trusted` participant's update, each made as long as that one and weighted by how far it
        // points the same way; zero if that one is not included.
        FLTrust,
        Bulyan, // a trimmed mean around the median of those that Krum chooses one after another
        MinimumDiameter // the mean of the n - tolerance updates that lie closest together
    }

    /// @notice How a final round's reward is divided among its included updates.
    enum RewardRule {
        Equal,
        Samples, // by declared samples, each counted up to `sampleCap`
        Scores // by the medians of the scores that participants give each other's updates
    }

    /// @notice What a stake is slashed for.
    enum Offence {
        Withheld, // a commitment that was not opened
        Equivocation, // two commitments signed for one round
        FalseNorm
    }

    /// @notice What participants hide from each other. Only plain updates exist so far.
    enum Privacy {
        Plain
    }

    /// @notice What a published result consists of: two vectors and, where updates are chosen or weighed by distance, a
    /// table.
    enum Published {
        Aggregate,
        Model,
        Table
    }

    /// @notice Why a published result was refuted.
    enum Fault {
        Aggregate, // it is not what the rule makes of the included updates
        Model, // it is not the base model plus the aggregate
        AggregateUnavailable, // the aggregate was flagged and not posted in time
        ModelUnavailable, // the model was flagged and not posted in time
        Product, // a product or a sum in the table is wrong
        Choice, // the updates chosen, or their weights, are not those that the table asks for
        TableUnavailable, // the table was flagged and not posted in time
        Outvoted // more participants than the tolerated liars, and than voted for it, found another result
    }

    /// @notice Everything that defines a task. Immutable, and hashed to the task id.
    /// @dev A task is by votes if no transaction can prove its aggregates wrong: its rule is Bulyan or one behind it;
    /// or it mixes nearest neighbours before another rule than Mean, Median or TrimmedMean; or it clips adaptively
    /// before ClippedMean or CenteredClipping, which clip too; or it would have a table (see `Result`) of more than
    /// 2^16 leaves. With n = `quorum`, the `tolerance` of such a task, and of one with a table or with a bit of
    /// `preSteps`, is from 1 to (n - 1) / 2, with Krum and MultiKrum to (n - 3) / 2, with Bulyan to (n - 3) / 4.
    /// GeometricMedian, without a pre-step, and FLTrust do the same whatever it is; by votes it is how many of the
    /// voters may lie.
    struct TaskParams {
        bytes32 modelSpecHash; // hash of the model's architecture and parameter order
        bytes32 genesisModelRoot; // root of the model that round 1 starts from
        uint32 dimension; // number of model parameters
        uint16 chunkLength; // coordinates per Merkle leaf; a multiple of 16
        uint8 shift; // one unit of a coordinate is 2^-shift
        Rule rule;
        uint8 tolerance; // number of liars the rule is asked to tolerate
        // Before the rule, in this order; bit 0: adaptive clipping, bit 1: nearest-neighbour mixing. None with FLTrust.
        uint8 preSteps;
        Privacy privacy;
        uint8 quorum; // least number of included updates for a result
        uint8 cohort; // most updates a round includes, at most 64
        uint16 seats; // most seats a task has, at least `cohort`; with more active than that each round draws
        uint8 drawn; // how many of the active seats a draw is expected to choose, at most `cohort`
        address seedSource; // an `ISeedSource` that draws; zero exactly if `seats` equals `cohort`
        uint64 clipNorm; // in units, of ClippedMean and CenteredClipping; zero for other rules
        uint64 maxSquaredNorm; // largest squared norm of an update, in squared units
        address aggregator; // may publish alone during `aggregatorSeconds`; zero: anybody may from the start
        address trusted; // the participant that FLTrust measures the others by; zero exactly for other rules
        uint32 selectionSeconds;
        uint32 commitSeconds;
        uint32 revealSeconds;
        uint32 availabilitySeconds;
        uint32 aggregatorSeconds; // the aggregator's head start inside `aggregateSeconds`
        uint32 aggregateSeconds;
        uint32 challengeSeconds;
        uint32 scoreSeconds; // for scores, from the end of Availability; zero exactly if the rewards need none
        uint32 rounds; // most rounds the task will open, void ones included
        uint64 closesAt; // no round opens at or after this time
        address currency; // zero: ETH; else an ERC-20 token that moves exactly what it is told to
        uint96 stakeWei; // per seat
        uint96 sliceWei; // of a stake, lost for a commitment that is not opened, or two that were signed
        uint96 bondWei; // per published round
        uint96 flagWei; // deposit of whoever flags bytes as unavailable; goes to who posts them
        uint96 rewardWei; // per final round, for its included updates
        uint96 publisherWei; // per final round, for who published it
        RewardRule rewardRule;
        uint32 minSamples; // least samples that a participant declares
        uint32 sampleCap; // most samples that count; zero exactly if the rewards do not depend on them
        uint8 maxMissed; // a seat suspended after more commitments not opened than this stays so
        bytes32 salt; // lets one sponsor create otherwise equal tasks
    }

    /// @notice A task's changing facts.
    struct TaskState {
        address sponsor; // zero: no such task
        uint32 round; // number of the latest round, counted from 1; zero before the first
        uint16 seats; // seats taken, suspended ones included
        uint16 active; // of these, those that the latest round could draw or take
        uint16 entering; // and those that become active with the next round
        uint16 pending; // and with the one after it
        bool closed;
        bool ended; // its sponsor lets no further round open
        bool draws; // the latest round takes only seats that are drawn
        bool byVotes; // for ever: whether results are right is for votes to say
        uint64 openedBlock; // the block that opened the latest round that draws
        bytes32 draw; // of that round: a seed, 24 bytes, and a threshold, 8 bytes; zero until it is drawn
        uint96 fundsWei; // the sponsor's money that no round has spent
        bytes32 modelRoot; // root of the latest final model
    }

    /// @notice A round's facts; `phase` and deadlines follow from them.
    struct RoundState {
        uint40 openedAt; // zero: no such round
        uint40 publishedAt; // zero: nothing published, or what was published has been refuted
        uint40 restartedAt; // when the latest published result was refuted; zero: none was
        bool settled; // its bond has been accounted for
        bool distributed; // and its reward
        uint16 active; // number of active seats when it opened
        uint8 refutations; // number of refuted results
        uint8 resultFlags; // bit = `Published`: this of the published result was flagged
        uint8 votes; // for what is published, in a task by votes
        uint8 mostVotes; // that any result of the round has, published or not; a refutation leaves it as it is
        // Bit i, counted in order of reveal from 0: the update is flagged and not posted, or its norm is false.
        uint64 unavailable;
        bytes32 updatesHash; // running hash over the revealed updates, in order of reveal; last byte: their number
        bytes32 aggregateRoot;
        bytes32 modelRoot;
        address publisher;
        uint96 bondWei; // locked by the publisher until settled or refuted
        bytes32 evidenceHash; // keccak256(tableRoot, choiceHash) of what was published; zero without a table
        bytes32 scoresHash; // running hash over the revealed scores; last byte: how many participants gave any
    }

    /// @notice What a publisher publishes or a participant votes for, and what it was computed from.
    /// @dev A task that is not by votes has a table if it mixes nearest neighbours or its rule is MultiKrum, Krum,
    /// GeometricMedian or FLTrust. Then, with n included updates, the table is a Merkle sum tree over the inner
    /// products of all pairs of them, chunk by chunk, after clipping if there is any. Pairs (i, j) with i <= j are
    /// numbered row by row; the leaf of chunk k of pair p has the number p * 2^D + k, D being the depth of an update's
    /// tree, and what is left up to a power of two is padding. Leaves have no hash, padding leaves a product of zero; a
    /// node is keccak256(left hash, right hash, "volquorum.gram.1", left sum, right sum), the root
    /// keccak256("volquorum.root.2", n, the sum, the top), sums and n being eight bytes, sums two's complement. A
    /// choice is, eight bytes each, one mask for every update, or for MultiKrum and Krum a single one: bit j stands for
    /// the j-th included update. For GeometricMedian and FLTrust it is a weight for every update, at most 2^30, and
    /// then what the weighted sum of the updates is divided by.
    struct Result {
        bytes32 aggregateRoot;
        bytes32 modelRoot;
        bytes32 updatesHash; // names the revealed updates
        uint64 unavailable; // those of them that it was computed without
        bytes32 tableRoot; // zero exactly if the task has no table
        bytes32 choiceHash; // keccak256 of the choice; zero exactly if the task has no table
    }

    /// @notice That somebody could not fetch bytes: the latest flag on a participant's update, or on an aggregate,
    /// a model or a table.
    struct Flag {
        uint32 round; // zero: never flagged
        uint8 index; // of the update, in order of reveal; of a result, which `Published` it is
        uint32 posted; // number of parts posted so far
        address flagger; // owns the deposit; zero: the flag was answered, or its deposit given back
        bytes32 root; // of the vector or the table
    }

    /// @notice A revealed update as its reveal recorded it.
    struct Update {
        address participant;
        bytes32 updateRoot;
        uint64 squaredNorm;
    }

    /// @notice A participant's signature under a commitment: EIP-712, of
    /// `Commit(bytes32 taskId,uint32 round,bytes32 commitment)` in the domain of the name "volquorum" and the version
    /// "1", this chain and this contract; in the short form of EIP-2098.
    struct SignedCommit {
        bytes32 commitment;
        bytes32 r;
        bytes32 vs;
    }

    /// @notice A participant's signature under a vote: EIP-712, of `Vote(bytes32 taskId,uint32 round,bytes32 updatesHash,
    /// uint64 unavailable,bytes32 aggregateRoot,bytes32 modelRoot)`, written without the space, in the domain and the form
    /// of `SignedCommit`.
    struct Signature {
        bytes32 r;
        bytes32 vs;
    }

    /// @notice What opens a participant's commitment.
    struct Opening {
        address participant;
        bytes32 treeTop;
        uint64 squaredNorm;
        bytes32 salt;
    }

    /// @notice One participant's place in a task. What it served, missed and declared stays when it leaves.
    struct Seat {
        uint96 stakeWei;
        uint96 rewardWei; // distributed and not claimed
        uint32 activeFrom; // first round this seat may commit in; zero: no seat; 2^32 - 1: suspended
        uint16 served; // rounds whose reward was distributed with its update included
        uint8 missed; // commitments that it did not open
        uint8 slashed; // times that it was slashed
        uint32 committedRound; // latest round committed in; zero: none since the seat was taken or suspended
        bytes28 commitment; // low 224 bits of that commitment; zero once it was opened
        uint32 samples; // declared when the first seat was taken
        uint32 scoredRound; // latest round in which it committed to scores
        bytes24 scoreCommitment; // low 192 bits of that commitment; zero once it was opened
        uint32 votedRound; // latest round in which it voted
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
        uint64 scoreCommit; // end of committing to scores: half-way through `scoreSeconds`
        uint64 scoreReveal; // end of revealing scores
        uint64 flagUpdate; // end of flagging updates: half-way through Availability, so that time to post remains
        uint64 flagResult; // end of flagging a result: a third into Challenge; zero until something is published
        uint64 postResult; // end of posting a result: two thirds into Challenge; zero until something is published
    }

    // -------------------------------------------------------------------------------------------------- events

    event TaskCreated(bytes32 indexed taskId, address indexed sponsor, TaskParams params);
    event TaskEnded(bytes32 indexed taskId);
    event TaskClosed(bytes32 indexed taskId, uint256 refundWei);
    event SeatTaken(bytes32 indexed taskId, address indexed participant, uint32 activeFrom);
    event SeatLeft(bytes32 indexed taskId, address indexed participant, uint256 creditedWei);
    /// @notice A slice of a stake was lost, which suspends the seat.
    event SeatSuspended(
        bytes32 indexed taskId,
        uint32 indexed round,
        address indexed participant,
        address prover,
        Offence offence,
        uint256 awardWei,
        uint256 lostWei
    );
    event SeatRestored(bytes32 indexed taskId, address indexed participant, uint32 activeFrom);
    event RoundOpened(bytes32 indexed taskId, uint32 indexed round, bytes32 baseModelRoot);
    event SeatsDrawn(bytes32 indexed taskId, uint32 indexed round, bytes32 draw);
    event UpdateCommitted(
        bytes32 indexed taskId, uint32 indexed round, address indexed participant, bytes32 commitment
    );
    event UpdatesCommitted(bytes32 indexed taskId, uint32 indexed round, address[] participants, bytes32[] commitments);
    event UpdatesRevealed(bytes32 indexed taskId, uint32 indexed round, Update[] updates);
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
        bytes32 updatesHash,
        uint64 unavailable,
        bytes32 tableRoot,
        bytes32 choiceHash
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
    /// @notice A participant found these roots; so many have now.
    event Voted(
        bytes32 indexed taskId,
        uint32 indexed round,
        address indexed participant,
        bytes32 aggregateRoot,
        bytes32 modelRoot,
        uint8 votes
    );
    event RoundFinalised(bytes32 indexed taskId, uint32 indexed round, bytes32 modelRoot);
    event ScoresCommitted(
        bytes32 indexed taskId, uint32 indexed round, address indexed participant, bytes32 commitment
    );
    event ScoresRevealed(bytes32 indexed taskId, uint32 indexed round, address indexed participant, bytes scores);
    /// @notice One share per revealed update, in order of reveal; zero for excluded ones.
    event RewardsDistributed(bytes32 indexed taskId, uint32 indexed round, uint96[] sharesWei, uint256 restWei);
    event RoundVoided(bytes32 indexed taskId, uint32 indexed round, uint8 revealed);
    event UpdateFlagged(
        bytes32 indexed taskId, uint32 indexed round, address indexed participant, address flagger, bytes32 updateRoot
    );
    event ResultFlagged(
        bytes32 indexed taskId, uint32 indexed round, address indexed flagger, Published what, bytes32 root
    );
    /// @notice One part of a flagged vector or table. The root comes first, so that who reads a task's events, by their first
    /// topic, is not flooded with bytes.
    event BytesPosted(bytes32 indexed root, bytes32 indexed taskId, uint32 part, bytes chunks);
    event NormRefuted(
        bytes32 indexed taskId,
        uint32 indexed round,
        address indexed participant,
        address challenger,
        uint32 chunk,
        uint256 awardWei,
        uint256 lostWei
    );
    /// @notice An award that was burned, for its proof had no seal, went to who had sealed the challenge.
    event AwardClaimed(
        bytes32 indexed taskId,
        uint32 indexed round,
        address indexed challenger,
        uint8 kind,
        uint32 chunk,
        bytes32 subject,
        uint256 awardWei
    );
    event RewardClaimed(bytes32 indexed taskId, address indexed participant, uint256 amountWei);
    event Withdrawn(address indexed account, address indexed to, address indexed currency, uint256 amountWei);

    // -------------------------------------------------------------------------------------------------- errors

    /// @notice Thrown when a task parameter is out of its range; `field` is its name.
    error InvalidParameter(bytes32 field, uint256 value);
    /// @notice Thrown when a task with the same sponsor and parameters exists.
    error TaskExists(bytes32 taskId);
    /// @notice Thrown when no task has this id.
    error UnknownTask(bytes32 taskId);
    /// @notice Thrown when a call carries another amount than the exact one it must.
    error WrongValue(uint256 sentWei, uint256 requiredWei);
    /// @notice Thrown when a token took or gave another amount than it was asked for.
    error WrongTransfer(address currency, uint256 receivedWei, uint256 requiredWei);
    /// @notice Thrown when somebody else than the sponsor ends a task.
    error NotSponsor(bytes32 taskId, address account);
    /// @notice Thrown when a participant declares fewer samples than the task asks for, or others than before.
    error WrongSamples(bytes32 taskId, uint32 declared, uint32 required);
    /// @notice Thrown when the task was closed.
    error TaskIsClosed(bytes32 taskId);
    /// @notice Thrown when a task may still open rounds or has one running.
    error TaskNotOver(bytes32 taskId, uint32 round, Phase current);
    /// @notice Thrown when all seats of a task are taken.
    error SeatsTaken(bytes32 taskId, uint16 seats);
    /// @notice Thrown when a seat is not suspended, or for good.
    error NotRestorable(bytes32 taskId, address account, uint8 missed);
    /// @notice Thrown when a round takes every active seat, so that there is nothing to draw.
    error NothingToDraw(bytes32 taskId, uint32 round);
    /// @notice Thrown when the seats of a round were drawn before.
    error AlreadyDrawn(bytes32 taskId, uint32 round);
    /// @notice Thrown when the seats of a round are not drawn yet, or its seed is not known yet.
    error SeedNotReady(bytes32 taskId, uint32 round);
    /// @notice Thrown when a seat was not drawn for this round.
    error NotDrawn(bytes32 taskId, uint32 round, address account);
    /// @notice Thrown when a participant has committed in this round, so that a relayed commitment comes too late.
    error AlreadyCommitted(bytes32 taskId, uint32 round, address account);
    /// @notice Thrown when nobody signed this: `index` counts the signatures from zero.
    error BadSignature(uint256 index);
    /// @notice Thrown when a round has as many updates as its cohort.
    error RoundFull(bytes32 taskId, uint32 round, uint8 cohort);
    /// @notice Thrown when there is no unopened commitment, it can still be opened, or its round was full.
    error NothingWithheld(bytes32 taskId, address account);
    /// @notice Thrown when two signed commitments are the same one.
    error NoEquivocation(bytes32 taskId, uint32 round, bytes32 commitment);
    /// @notice Thrown when scores cannot be committed or revealed now.
    error NotScoring(bytes32 taskId, uint32 round, uint64 from, uint64 until);
    /// @notice Thrown when the account's scores for this round are not those that it committed to.
    error ScoresMismatch(bytes32 taskId, uint32 round, address account);
    /// @notice Thrown when the scores given are not all that were revealed in this round, in their order.
    error WrongScores(bytes32 taskId, uint32 round, bytes32 given, bytes32 revealed);
    /// @notice Thrown when a round has no reward to distribute: it is not final, or it was distributed before.
    error NothingToDistribute(bytes32 taskId, uint32 round);
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
    error QuorumUnreachable(bytes32 taskId, uint256 seats, uint8 quorum);
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
    /// @notice Thrown when somebody else publishes during the aggregator's head start.
    error AggregatorFirst(bytes32 taskId, uint32 round, address aggregator, uint64 until);
    /// @notice Thrown when a result is published at the very time at which the round's latest one was refuted.
    error JustRefuted(bytes32 taskId, uint32 round);
    /// @notice Thrown when a result was computed, or is contested, from another set of updates than the revealed one,
    /// or from the same in another order.
    error UpdatesMismatch(bytes32 taskId, uint32 round, bytes32 given, bytes32 revealed);
    /// @notice Thrown when a result was computed from another selection of the revealed updates than the included ones.
    error ExcludedMismatch(bytes32 taskId, uint32 round, uint64 given, uint64 unavailable);
    /// @notice Thrown when a round revealed fewer updates than this number asks for.
    error UnknownUpdate(uint256 index, uint256 updates);
    /// @notice Thrown when the time for flagging is over.
    error FlaggingOver(bytes32 taskId, uint32 round, uint64 until);
    /// @notice Thrown when these bytes were flagged before, or belong to an update that is excluded for good.
    error AlreadyFlagged(bytes32 taskId, uint32 round, bytes32 root);
    /// @notice Thrown when there is no unanswered flag to answer.
    error NotFlagged(bytes32 taskId, uint32 round);
    /// @notice Thrown when the time for posting a result is over.
    error PostingOver(bytes32 taskId, uint32 round, uint64 until);
    /// @notice Thrown when posted bytes are not the next part of what was flagged.
    error BadPart(uint256 part);
    /// @notice Thrown when this of a result is not flagged, was posted, or may still be posted.
    error NotUnavailable(bytes32 taskId, uint32 round, Published what);
    /// @notice Thrown when a participant's update has no deposit on it, or it can still be posted.
    error DepositNotFree(bytes32 taskId, address participant);
    /// @notice Thrown when a seal was stored before.
    error SealExists(bytes32 seal);
    /// @notice Thrown when no proof of this challenge lacked a seal, its award was claimed, or the caller had not sealed it.
    error NoAward(bytes32 taskId, uint32 round, address account);
    /// @notice Thrown when a vector has no chunk, or a table no leaf, of this number.
    error UnknownChunk(uint32 chunk, uint256 chunks);
    /// @notice Thrown when openings, a posted part or a list of updates are not exactly as long as their layout asks
    /// for.
    error WrongLength(uint256 givenBytes, uint256 requiredBytes);
    /// @notice Thrown when an opening does not prove its chunk under its root; `index` counts openings from zero.
    error BadOpening(uint256 index);
    /// @notice Thrown when what is contested is what it must be: a chunk, a norm, a product and the sums on the way up
    /// from it, or a choice.
    error NoFraud(bytes32 taskId, uint32 round, uint32 chunk);
    /// @notice Thrown when a published root that the task asks for is zero.
    error EmptyRoot();
    /// @notice Thrown when a table or a choice is not the published one, or is published by a task that has none.
    error EvidenceMismatch(bytes32 tableRoot, bytes32 choiceHash);
    /// @notice Thrown when a task has no table, for its updates are neither chosen nor weighed by distance.
    error NoTable(bytes32 taskId);
    /// @notice Thrown when a proof is sent, or a table flagged, in a task whose aggregates are judged by votes.
    error ByVotes(bytes32 taskId);
    /// @notice Thrown when a vote is cast or counted in a task whose aggregates are judged by proofs.
    error NotByVotes(bytes32 taskId);
    /// @notice Thrown when the account has no update in this round, did not reveal it, or it is excluded.
    error NotIncluded(bytes32 taskId, uint32 round, address account);
    /// @notice Thrown when the account has voted in this round.
    error AlreadyVoted(bytes32 taskId, uint32 round, address account);
    /// @notice Thrown when a result has fewer votes than it needs to refute the published one.
    error NotOutvoted(bytes32 taskId, uint32 round, uint256 votes, uint256 required);
    /// @notice Thrown when a round's money was accounted for before.
    error AlreadySettled(bytes32 taskId, uint32 round);
    /// @notice Thrown when there is nothing to pay out.
    error NothingToWithdraw(address account);
    /// @notice Thrown when the receiver refuses the money.
    error TransferFailed(address to, uint256 amountWei);

    // --------------------------------------------------------------------------------------------------- tasks

    /// @notice Creates a task; the caller is its sponsor and pays exactly `rounds * (rewardWei + publisherWei)`. What a
    /// call pays is sent with it where the currency is ETH, and taken from the caller's allowance where it is a token.
    function createTask(TaskParams calldata params) external payable returns (bytes32 taskId);

    /// @notice Lets no further round open; for the sponsor. A running round goes on to its end.
    function endTask(bytes32 taskId) external;

    /// @notice Closes a task that can open no further round and credits what no round spent to its sponsor. What is
    /// owed to others stays owed.
    function closeTask(bytes32 taskId) external;

    // ------------------------------------------------------------------------------------------------- members

    /// @notice Takes a seat for exactly `stakeWei`; it may act from the next round that opens, or, while rounds draw,
    /// from the one after that.
    /// @param samples How many samples the participant has, which nobody checks; the same whenever it joins this task.
    function join(bytes32 taskId, uint32 samples) external payable;

    /// @notice Pays a suspended seat's stake up to exactly `stakeWei`; it acts again from when a new one would.
    function restore(bytes32 taskId) external payable;

    /// @notice Gives the seat up and credits its stake and rewards, unless a commitment binds it to a running round.
    /// The slice for a commitment that was not opened is lost before that.
    function leave(bytes32 taskId) external;

    /// @notice Takes the slice of a participant who did not open its latest commitment in time; anybody may call it and
    /// is credited half of the slice. Committing again or leaving does the same for nobody. Nothing is lost for a round
    /// that was full.
    function slashWithheld(bytes32 taskId, address participant) external;

    /// @notice Takes the slice of a participant who signed two commitments for the running round and has not opened
    /// one, together with its commitment; half is credited to the caller.
    function slashEquivocation(bytes32 taskId, uint32 round, SignedCommit calldata first, SignedCommit calldata second)
        external;

    // -------------------------------------------------------------------------------------------------- rounds

    /// @notice Opens the next round once the latest has ended, settling that one first if nobody did.
    function openRound(bytes32 taskId) external returns (uint32 round);

    /// @notice Draws the seats of a round that has more active ones than its cohort, with the seed that its source has
    /// for the block that opened it; in Selection and Commit. A seat is drawn if the first 8 bytes of
    /// keccak256(the draw's first 24 bytes, its address) are below the draw's last 8: each with the same chance, so that
    /// `drawn` of the active ones are expected. The first `cohort` of them that reveal are in.
    function drawSeats(bytes32 taskId, uint32 round) external;

    /// @notice Binds the caller to an update; a later call in the same phase replaces it.
    function commitUpdate(bytes32 taskId, uint32 round, bytes32 commitment) external;

    /// @notice Binds everybody who signed to an update, unless one has committed in this round; anybody may send it.
    function commitUpdates(bytes32 taskId, uint32 round, SignedCommit[] calldata commits) external;

    /// @notice Opens the caller's commitment. The update's root is `SumTree.root(dimension, squaredNorm, treeTop)`,
    /// so the norm is a part of what was committed to.
    function revealUpdate(bytes32 taskId, uint32 round, bytes32 treeTop, uint64 squaredNorm, bytes32 salt) external;

    /// @notice Opens the commitments of many; anybody may who was told what opens them.
    function revealUpdates(bytes32 taskId, uint32 round, Opening[] calldata openings) external;

    /// @notice Publishes a round's result with exactly `bondWei`; after a refutation not before the next block, so that
    /// no single transaction can spend all the refutations that a round has.
    function publish(bytes32 taskId, uint32 round, Result calldata result) external payable;

    /// @notice Makes the latest round's result the task's model and credits its publisher with bond and `publisherWei`.
    function finalise(bytes32 taskId) external;

    /// @notice Accounts for a latest round that ended without a result. A result that is void for want of votes costs
    /// nothing: its publisher is credited with his bond, and who flagged anything of it with unanswered deposits.
    function voidRound(bytes32 taskId) external;

    // -------------------------------------------------------------------------------------------- availability

    /// @notice Flags a revealed update whose bytes cannot be fetched, with exactly `flagWei`, in the first half of
    /// Availability. Unless it is posted before Availability ends, the update is excluded: it has no part in the
    /// aggregate nor in the reward, and the deposit can be reclaimed. Its stake is not touched.
    /// @param updates Every update revealed in the round, in order of reveal.
    /// @param index Number of the flagged one, from zero.
    function flagUpdate(bytes32 taskId, uint32 round, Update[] calldata updates, uint256 index) external payable;

    /// @notice Posts the next part of a flagged update; anybody may, until Availability ends. With the last part the
    /// update is included again, and the deposit is credited to its participant, whoever posted.
    /// @param chunks The part's chunks one after another, without anything between or behind them.
    /// @param siblings On the way from the part up to the top, each sibling's hash, 32 bytes, and the sum of squares
    /// below it, 8 bytes.
    ///
    /// A part is a whole subtree of 2^k leaves, with k the greatest number up to the tree's depth for which its chunks
    /// fill at most 32,768 bytes, or zero. Parts are posted in their order. The last one has only the chunks that the
    /// vector has, the rest of its leaves are padding; behind the vector's end its last chunk holds zeros.
    function postUpdate(
        bytes32 taskId,
        uint32 round,
        address participant,
        bytes calldata chunks,
        bytes calldata siblings
    ) external;

    /// @notice Credits the deposit of an update that nobody posted to its flagger, once its round's Availability is
    /// over; anybody may call it.
    function reclaimDeposit(bytes32 taskId, address participant) external;

    /// @notice Flags the published aggregate or model, whose bytes cannot be fetched, with exactly `flagWei`, in the
    /// first third of Challenge; each once per publication.
    function flagResult(bytes32 taskId, uint32 round, Published what) external payable;

    /// @notice Flags the published table, whose bytes cannot be fetched, as `flagResult` does the other two.
    /// @param tableRoot The published one.
    /// @param choiceHash The published one.
    function flagTable(bytes32 taskId, uint32 round, bytes32 tableRoot, bytes32 choiceHash) external payable;

    /// @notice Posts the next part of a flagged result as `postUpdate` does for an update, in the first two thirds of
    /// Challenge. A model's sums are zero. With the last part the deposit is credited to the publisher.
    ///
    /// Of a table a part is a subtree of 2^12 leaves, or the whole table if it has fewer. `chunks` are the products of
    /// all its leaves, padding included, eight bytes each. Parts without a pair in them are never posted, and siblings
    /// behind the last part are padding, whatever they say.
    function postResult(bytes32 taskId, uint32 round, Published what, bytes calldata chunks, bytes calldata siblings)
        external;

    /// @notice Refutes a result of which something flagged was not posted in time. The same follows as from a challenge;
    /// deposit and award go to the flagger, whoever calls.
    function refuteUnavailable(bytes32 taskId, uint32 round, Published what) external;

    // ---------------------------------------------------------------------------------------------- challenges

    /// @notice Announces a challenge by its hash. The award of a challenge goes to who sealed it in an earlier block;
    /// without a seal a proof does the same, but earns nothing, so that nobody gains by copying one. What it would have
    /// earned is burned, until who had sealed it claims it with `claimAward`.
    /// @param seal keccak256(abi.encode(keccak256("volquorum.seal.1"), chain id, this contract, task id, round,
    /// challenger, kind, chunk, subject, salt)). Kind and subject are 0 and the published aggregate's root, 1 and the
    /// published model's root, 2 and the update's root for a norm, 3 and the table's root for a product, whose leaf's
    /// number stands for the chunk, or 4 and the table's root for a choice, with chunk 0.
    function sealChallenge(bytes32 seal) external;

    /// @notice Credits the caller with what somebody else's proof without a seal did not earn, if the caller had sealed
    /// the same challenge in a block before that proof: who copies a proof on its way into a block takes nothing away.
    /// Of several proofs of one challenge, the same lie having been published again or revealed by many, with all that he
    /// had sealed it before; of several who had, whoever comes first.
    /// @param kind As in the seal, like the three behind it.
    function claimAward(bytes32 taskId, uint32 round, uint8 kind, uint32 chunk, bytes32 subject, bytes32 salt) external;

    /// @notice Proves in Availability that the norm of a revealed update is false: that somewhere on the way from a
    /// chunk up to the root a recorded sum of squares is not that of what lies below it. The update is excluded for
    /// good, its seat is taken away and its stake lost: half of it is credited to the caller if he sealed the
    /// challenge, the rest to nobody. What the seat earned before stays its owner's, who claims it; the deposit of a
    /// flag on the update is credited to its flagger.
    /// @param updates Every update revealed in the round, in order of reveal.
    /// @param index Number of the contested one, from zero.
    /// @param chunk Number of the chunk, from zero.
    /// @param opening The chunk, then for each level from the leaf up: 8 bytes, the sum that the parent records for
    /// the node on this way; 32 bytes, the sibling's hash; 8 bytes, the sibling's recorded sum.
    /// @param salt What the seal was made with; anything without one.
    function challengeNorm(
        bytes32 taskId,
        uint32 round,
        Update[] calldata updates,
        uint256 index,
        uint32 chunk,
        bytes calldata opening,
        bytes32 salt
    ) external;

    /// @notice Proves, unless the task is by votes, that one chunk of the published aggregate is not what the task's rule
    /// makes of that chunk of the included updates. The round returns to Aggregate for whoever publishes next: nothing is
    /// published any more, the aggregator's head start is over, and `aggregateSeconds` count from now on; after eight
    /// refutations the round is void instead. Half of the publisher's bond is credited to the caller if he sealed the
    /// challenge; the rest is lost to everybody, so that nobody gains by refuting himself. Unanswered deposits return to
    /// their flaggers.
    /// @param participants Those of the included updates, in order of reveal. Their roots and norms follow from the
    /// openings.
    /// @param excluded The excluded updates, in order of reveal.
    /// @param chunk Number of the chunk, from zero.
    /// @param openings One opening of the chunk per included update, in the order of `participants`, then the place of
    /// the aggregate's chunk, without anything between or behind them.
    /// @param evidence The published table's root and behind it the published choice; nothing without a table.
    /// @param salt What the seal was made with; anything without one.
    ///
    /// An opening is, with c = `chunkLength`, w bytes per integer (2 in an update and an aggregate, 4 in a model) and
    /// D = ceil(log2(ceil(dimension / c))), everything big-endian:
    ///   - c * w bytes: the chunk, c integers in two's complement, the last chunk padded with zeros;
    ///   - D times 40 bytes, the siblings on the way from the leaf up to the top:
    ///       32 bytes: the sibling's hash, zero for a padding leaf,
    ///        8 bytes: the sum of squares below the sibling, zero in a model.
    /// A place has, instead of the chunk, 40 bytes: the published leaf's hash and its recorded sum of squares. What the
    /// chunk must be is computed, so that it is wrong if the hash or the sum of squares is another.
    /// Neither index nor length is written: all openings of a call share the chunk's number. With n included updates
    /// `openings` has n * (2 * c + 40 * D) + 40 * (D + 1) bytes; errors count the updates from 0 and give the aggregate
    /// the index n. Padding must be zero in an update and in a base model; in what was published it is judged as all
    /// other coordinates are.
    function challengeAggregate(
        bytes32 taskId,
        uint32 round,
        address[] calldata participants,
        Update[] calldata excluded,
        uint32 chunk,
        bytes calldata openings,
        bytes calldata evidence,
        bytes32 salt
    ) external;

    /// @notice Proves that one chunk of the published model is not the same chunk of the round's base model plus that
    /// of the published aggregate. A sum that an int32 cannot hold proves it too: no model is right then. What follows
    /// is the same as for `challengeAggregate`.
    /// @param openings As described there, in this order: 0 the base model (the task's `modelRoot`, w = 4), 1 the
    /// published aggregate (w = 2), 2 the place of the published model's chunk, whose sum must be zero; in all
    /// 6 * c + 120 * D + 40 bytes.
    function challengeModel(bytes32 taskId, uint32 round, uint32 chunk, bytes calldata openings, bytes32 salt) external;

    /// @notice Proves that the published table is wrong at a leaf or above it: that a recorded product is not the inner
    /// product of the two chunks, that a recorded sum is not that of what is below it, or that padding is not zero. What
    /// follows is the same as for `challengeAggregate`.
    /// @param updates Every update revealed in the round, in order of reveal.
    /// @param leaf Number of the leaf.
    /// @param openings For each level from the leaf up: 8 bytes, the sum that the parent records for the node on this
    /// way, which for the leaf is its product; 32 bytes, the sibling's hash; 8 bytes, the sibling's recorded sum. Then
    /// 8 bytes, the sum that the root records. Then one opening of the chunk, as described above, if the leaf is of an
    /// update with itself, none if it is padding, and else two, the earlier update's first. If what is recorded shows
    /// the fault by itself, nothing behind it is read, nor are the updates.
    /// @param choiceHash The published one.
    /// @param salt What the seal was made with; anything without one.
    function challengeProduct(
        bytes32 taskId,
        uint32 round,
        Update[] calldata updates,
        uint32 leaf,
        bytes calldata openings,
        bytes32 choiceHash,
        bytes32 salt
    ) external;

    /// @notice Proves that the published choice is not what the published table asks for, whether that is right or not.
    /// What follows is the same as for `challengeAggregate`.
    /// @param updates Every update revealed in the round, in order of reveal, if the rule is FLTrust; else none.
    /// @param nodes For each pair in their order 40 bytes, the node above its leaves: its hash and its sum.
    /// @param choiceHash The published one.
    /// @param salt What the seal was made with; anything without one.
    function challengeChoice(
        bytes32 taskId,
        uint32 round,
        Update[] calldata updates,
        bytes calldata nodes,
        bytes32 choiceHash,
        bytes32 salt
    ) external;

    // ---------------------------------------------------------------------------------------------------- votes

    /// @notice Says what the caller found by computing a round's result, in a task by votes: in Aggregate and in
    /// Challenge, whatever is published. For who has an included update in this round, once. As `tolerance` bounds the
    /// liars among these, more votes than that have an honest one among them, and the honest can always cast so many.
    ///
    /// When Challenge ends, the published result becomes final if it has more votes than `tolerance`, and no fewer than any
    /// other result of the round; else the round is void.
    /// @param result The roots, without a table, and what they were computed from: a vote that a reorganisation brings to
    /// other updates is refused.
    function vote(bytes32 taskId, uint32 round, Result calldata result) external;

    /// @notice Casts the votes of everybody who signed this result, as if each had called `vote`; anybody may send them.
    /// Who has voted in this round is passed over, so that a signature sent before, alone or twice, spoils nothing. Who
    /// signed two results voted for that which comes first.
    function relayVotes(bytes32 taskId, uint32 round, Result calldata result, Signature[] calldata signatures) external;

    /// @notice Refutes the published result, in a task by votes, if these other roots have more votes than `tolerance`
    /// and more than it has. The same follows as from a challenge, but the whole bond is lost to everybody. Votes stay,
    /// so that whoever publishes these roots needs no new ones.
    function refuteOutvoted(bytes32 taskId, uint32 round, bytes32 aggregateRoot, bytes32 modelRoot) external;

    // -------------------------------------------------------------------------------------------------- rewards

    /// @notice Binds a participant, who revealed an update in this round, to scores for all revealed updates, between
    /// the end of Availability and half of `scoreSeconds`; a later call replaces it.
    /// @param commitment keccak256(abi.encode(keccak256("volquorum.scores.1"), chain id, this contract, task id, round,
    /// participant, keccak256(scores), salt)).
    function commitScores(bytes32 taskId, uint32 round, bytes32 commitment) external;

    /// @notice Opens the caller's commitment to scores, in the second half of `scoreSeconds`.
    /// @param scores One byte per revealed update, in order of reveal: how much it helped, from 0 to 255.
    function revealScores(bytes32 taskId, uint32 round, bytes calldata scores, bytes32 salt) external;

    /// @notice Divides a final round's reward among its included updates and adds each share to its seat; anybody may
    /// call it, once. What rounding leaves is the sponsor's.
    ///
    /// An update's weight is one; or its participant's declared samples up to `sampleCap`; or the median of the scores
    /// that the other included participants gave it, the lower one of an even number. Unless more than half of the
    /// included participants gave scores all weights are one. Are all zero, the whole reward is the sponsor's.
    /// @param updates Every update revealed in the round, in order of reveal.
    /// @param scores For each who revealed scores, in order, one byte with the number of its update and its scores;
    /// nothing unless the rewards depend on scores.
    function distribute(bytes32 taskId, uint32 round, Update[] calldata updates, bytes calldata scores) external;

    /// @notice Credits a participant with the rewards distributed to it; anybody may call it.
    function claim(bytes32 taskId, address participant) external;

    /// @notice Pays the caller's whole credit in a currency out to `to`.
    function withdraw(address currency, address to) external;

    // --------------------------------------------------------------------------------------------------- views

    /// @notice What an account may withdraw.
    function creditOf(address currency, address account) external view returns (uint256);

    /// @notice What refuted publishers and slashed seats lost to nobody. It lies in the contract for ever, but for awards
    /// that are claimed later.
    function burnedOf(address currency) external view returns (uint256);

    /// @notice The block in which a seal was stored; zero if it was not.
    function sealedAt(bytes32 seal) external view returns (uint256 blockNumber);

    function taskIdOf(address sponsor, TaskParams calldata params) external view returns (bytes32);

    function taskParams(bytes32 taskId) external view returns (TaskParams memory);

    function taskState(bytes32 taskId) external view returns (TaskState memory);

    function roundState(bytes32 taskId, uint32 round) external view returns (RoundState memory);

    function seat(bytes32 taskId, address account) external view returns (Seat memory);

    /// @notice The latest flag on an update of a participant.
    function updateFlag(bytes32 taskId, address participant) external view returns (Flag memory);

    /// @notice The latest flag on this of a published result.
    function resultFlag(bytes32 taskId, Published what) external view returns (Flag memory);

    /// @notice How many voted in a round for this result.
    function votesFor(bytes32 taskId, uint32 round, bytes32 aggregateRoot, bytes32 modelRoot)
        external
        view
        returns (uint8);

    /// @notice The phase of a round at the block's time.
    function phase(bytes32 taskId, uint32 round) external view returns (Phase);

    function deadlines(bytes32 taskId, uint32 round) external view returns (Deadlines memory);

    /// @notice Whether an account's seat may commit in the task's latest round.
    function mayCommit(bytes32 taskId, address account) external view returns (bool);

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
