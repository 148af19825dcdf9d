from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from node.models import registry
from node.models.plain_smile import PLAIN_SMILE
from node.models.registry import GROUP, by_hash, by_name, installed
from node.models.set_attention import SET_ATTENTION
from node.models.smile import SMILE
from protocol.errors import ConfigError

pytestmark = pytest.mark.unit


@pytest.fixture
def entries(monkeypatch):
    """Install these entry points, given by name and value, instead of the real ones."""

    def install(**values):
        points = [EntryPoint(name, value, GROUP) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda *, group: {GROUP: points}[group])
        installed.cache_clear()

    yield install
    monkeypatch.undo()
    installed.cache_clear()


def test_every_architecture_is_found_by_name_and_by_hash():
    known = (SMILE, SET_ATTENTION, PLAIN_SMILE)
    for architecture in known:
        assert by_name(architecture.name) is architecture
        assert by_hash(architecture.spec.hash) is architecture
    assert len({architecture.spec.hash for architecture in known}) == len(known)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"'lstm' is not installed.*plain_smile, set_attention, smile"
    ):
        by_name("lstm")


def test_an_unknown_hash_is_answered_with_the_known_ones():
    wanted = bytes(31) + b"\x01"
    with pytest.raises(ConfigError, match=f"0x{wanted.hex()}.*smile 0x{SMILE.spec.hash.hex()}"):
        by_hash(wanted)


def test_another_version_of_a_model_is_another_model():
    newer = replace(SMILE, spec=replace(SMILE.spec, version=SMILE.spec.version + 1))
    with pytest.raises(ConfigError, match="not installed"):
        by_hash(newer.spec.hash)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("absent", "node.models.absent:SMILE", "cannot load"),
        ("absent", "node.models.smile:ABSENT", "cannot load"),
        ("smile", "node.models.smile:Smile", "wanted an object of the class Architecture"),
        ("other", "node.models.smile:SMILE", "with this name, found 'smile'"),
    ],
)
def test_an_entry_point_that_lies_is_an_error(entries, name, value, complaint):
    entries(**{name: value})
    with pytest.raises(ConfigError, match=complaint):
        installed()


def test_nothing_installed_is_said_so(entries):
    entries()
    with pytest.raises(ConfigError, match="known models: none"):
        by_name("smile")
    with pytest.raises(ConfigError, match="there are none"):
        by_hash(SMILE.spec.hash)
