"""Headers put together from a node's answers, and the seeds that a source makes of them."""

from typing import Any

import pytest
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.london.blocks import LondonBlockHeader
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.shanghai.blocks import ShanghaiBlockHeader
from eth_abi.abi import encode
from eth_hash.auto import keccak

from protocol.chain.deployment import SeedSource, deploy
from protocol.chain.rpc import Rpc, fields, octets
from protocol.chain.seed import header_rlp, record, seed_of, to_record
from protocol.errors import ChainAnswerInvalid, Reverted
from protocol.task import ZERO_HASH
from tests.chain.game import Game
from tests.chain.network import SETTINGS, Network

pytestmark = pytest.mark.chain

DELAY_BLOCKS = 2
# What answers call the fields that py-evm's headers have.
NAMES = {
    "parentHash": "parent_hash",
    "sha3Uncles": "uncles_hash",
    "miner": "coinbase",
    "stateRoot": "state_root",
    "transactionsRoot": "transaction_root",
    "receiptsRoot": "receipt_root",
    "difficulty": "difficulty",
    "number": "block_number",
    "gasLimit": "gas_limit",
    "gasUsed": "gas_used",
    "timestamp": "timestamp",
    "extraData": "extra_data",
    "mixHash": "mix_hash",
    "nonce": "nonce",
    "baseFeePerGas": "base_fee_per_gas",
    "withdrawalsRoot": "withdrawals_root",
    "blobGasUsed": "blob_gas_used",
    "excessBlobGas": "excess_blob_gas",
    "parentBeaconBlockRoot": "parent_beacon_block_root",
    "requestsHash": "requests_hash",
}


def answer_about(header: Any) -> dict[str, object]:
    """A block as a node answers with it, of which only the header counts."""
    found = {name: getattr(header, field, None) for name, field in NAMES.items()}
    block: dict[str, object] = {
        name: "0x" + value.hex() if isinstance(value, bytes) else hex(value)
        for name, value in found.items()
        if value is not None
    }
    return block | {"logsBloom": f"0x{header.bloom:0512x}", "hash": "0x" + header.hash.hex()}


def source_on(network: Network, kind: SeedSource) -> str:
    source = deploy(
        network.endpoint, network.accounts[0], seed_source=kind, settings=SETTINGS
    ).seed_source
    assert source is not None
    return source


def mine(network: Network, blocks: int) -> None:
    for _ in range(blocks):
        network.travel(network.connect().head().timestamp + 1)


@pytest.mark.parametrize(
    "fork", [LondonBlockHeader, ShanghaiBlockHeader, CancunBlockHeader, PragueBlockHeader]
)
def test_header_of_each_fork_is_that_of_an_independent_encoder(fork: Any) -> None:
    header = fork(
        difficulty=0,
        block_number=2**33 + 1,
        gas_limit=30_000_000,
        gas_used=127,
        timestamp=128,
        extra_data=b"built by somebody",
        mix_hash=keccak(b"mix"),
        coinbase=keccak(b"fee")[:20],
        bloom=1 << 2047 | 1,
        base_fee_per_gas=0,
    )
    encoded = header_rlp(answer_about(header))
    assert keccak(encoded) == header.hash
    assert len(encoded) > 500


def test_every_block_of_a_chain_has_its_header(network: Network) -> None:
    game = Game(network)
    game.create()
    rpc = Rpc(network.endpoint)
    blooms = set()
    for number in range(network.connect().head().number + 1):
        block = fields(rpc.request("eth_getBlockByNumber", hex(number), False), "block")
        assert keccak(header_rlp(block)) == octets(block["hash"], "hash")
        blooms.add(block["logsBloom"])
    assert len(blooms) > 1, "some blocks have logs"


@pytest.mark.parametrize("name", [*NAMES, "logsBloom", "hash"])
def test_answer_with_another_field_is_refused(name: str) -> None:
    answer = answer_about(PragueBlockHeader(difficulty=0, block_number=7, gas_limit=8))
    changed = int(str(answer[name]) + "0" * (answer[name] == "0x"), 16) ^ 1
    same_length = f"0x{changed:0{len(str(answer[name])) - 2}x}"
    for wrong in (same_length, "0x" + "01" * 33, 5.0, None):
        with pytest.raises(ChainAnswerInvalid):
            header_rlp(answer | {name: wrong})


@pytest.mark.parametrize("answer", [None, "0x00", {}, {"hash": "0x" + "00" * 32}])
def test_answer_that_is_no_block_is_refused(answer: object) -> None:
    with pytest.raises(ChainAnswerInvalid):
        header_rlp(answer)


def test_source_has_a_seed_once_it_was_shown_the_header(network: Network) -> None:
    source = source_on(network, SeedSource("PrevrandaoSource", (DELAY_BLOCKS,)))
    chain, recorder = network.connect(), network.transactor(1)
    opened = chain.head().number
    due = opened + DELAY_BLOCKS
    while (head := chain.head()).number <= due:
        assert to_record(chain, source, opened, at=head) is None
        mine(network, 1)
    assert to_record(chain, source, opened, at=head) == due
    assert seed_of(chain, source, opened, at=head) == ZERO_HASH

    record(recorder, source, due)
    after = chain.head()
    block = fields(chain.rpc.request("eth_getBlockByNumber", hex(due), False), "block")
    mix_hash = octets(block["mixHash"], "mixHash")
    seed = keccak(encode(["bytes32", "uint256"], [mix_hash, due]))
    assert seed_of(chain, source, opened, at=after) == seed
    assert to_record(chain, source, opened, at=after) is None
    # Two who record the same do no harm, and one who does it twice sends once.
    assert record(recorder, source, due) == record(recorder, source, due)
    record(network.transactor(2), source, due)
    assert seed_of(chain, source, opened, at=chain.head()) == seed


def test_block_of_now_cannot_be_recorded(network: Network) -> None:
    source = source_on(network, SeedSource("PrevrandaoSource", (DELAY_BLOCKS,)))
    transactor = network.transactor(1)
    with pytest.raises(Reverted):
        record(transactor, source, transactor.chain.head().number)


def test_old_block_can_be_recorded_where_the_chain_keeps_its_hash(anvil: Network) -> None:
    source = source_on(anvil, SeedSource("PrevrandaoSource", (DELAY_BLOCKS,)))
    transactor = anvil.transactor(1)
    due = transactor.chain.head().number
    Rpc(anvil.endpoint).request("anvil_mine", hex(300))
    record(transactor, source, due)
    head = transactor.chain.head()
    assert seed_of(transactor.chain, source, due - DELAY_BLOCKS, at=head) != ZERO_HASH


def test_source_of_secrets_needs_no_header(embedded: Network) -> None:
    source = source_on(embedded, SeedSource("CommitRevealBeacon", (10**15, 2, 1)))
    chain = embedded.connect()
    opened = chain.head().number
    mine(embedded, 8)
    assert to_record(chain, source, opened, at=chain.head()) is None
    assert seed_of(chain, source, opened, at=chain.head()) == ZERO_HASH


def test_account_without_code_needs_no_header(embedded: Network) -> None:
    chain = embedded.connect()
    nobody = embedded.accounts[3].address
    mine(embedded, 3)
    assert to_record(chain, nobody, 0, at=chain.head()) is None
