"""Small faults in Solidity source text, such as a tired author makes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Mutant:
    """One fault: what stands from `start` to `end` of the source becomes `after`."""

    operator: str
    start: int
    end: int
    after: str

    def applied(self, source: str) -> str:
        return source[: self.start] + self.after + source[self.end :]

    def line(self, source: str) -> int:
        return source.count("\n", 0, self.start) + 1

    def told(self, source: str) -> str:
        """What was written and what is, in the line where it begins."""
        before = source[self.start : self.end]
        left = source[source.rfind("\n", 0, self.start) + 1 : self.start]
        right = source[self.end :].partition("\n")[0]
        return " ".join(f"{left}[{before} -> {self.after}]{right}".split())


NOT_CODE: Final = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"|^(?:pragma|import)\b[^;]*;", re.DOTALL | re.MULTILINE
)
# The longest first. What maps to nothing only keeps its parts from being read as operators.
OPERATORS: Final = MappingProxyType(
    {
        "=>": (),
        "<<": (("arithmetic", ">>"),),
        ">>": (("arithmetic", "<<"),),
        "==": (("relational", "!="),),
        "!=": (("relational", "=="),),
        "<=": (("relational", "<"), ("relational", ">")),
        ">=": (("relational", ">"), ("relational", "<")),
        "&&": (("logical", "||"),),
        "||": (("logical", "&&"),),
        "++": (("arithmetic", "--"),),
        "--": (("arithmetic", "++"),),
        "+=": (("arithmetic", "-="), ("arithmetic", "=")),
        "-=": (("arithmetic", "+="), ("arithmetic", "=")),
        "<": (("relational", "<="), ("relational", ">=")),
        ">": (("relational", ">="), ("relational", "<=")),
        "+": (("arithmetic", "-"),),
        "-": (("arithmetic", "+"),),
        "*": (("arithmetic", "/"),),
        "/": (("arithmetic", "*"),),
        "%": (("arithmetic", "/"),),
        "&": (("arithmetic", "|"),),
        "|": (("arithmetic", "&"),),
    }
)
TOKEN: Final = re.compile("|".join(re.escape(token) for token in OPERATORS))
CONSTANT: Final = re.compile(r"\b(?:true|false|0x[0-9a-fA-F]+|\d+)\b|\btype\([\w.]+\)\.max\b")
CONDITION: Final = re.compile(r"\bif \(")
NEGATED_BY_OPERATOR: Final = re.compile(r"[^&|=!<>?]+[=!]=[^&|=!<>?]+")
CHOICE: Final = re.compile(r"(?:= |return )([^;{}?]+?)\s\?\s")
# What begins with a type declares a name that something later needs.
DECLARATION: Final = re.compile(
    r"[\w.]+(\[\])*( (storage|memory|calldata))? \w+( =|;)"
    r"|\(\w[\w.]*( (storage|memory|calldata))? \w+,"
    r"|\(, \w+ \w+|using |error |event |let |mapping|\w[\w.]*( \w+)* (constant|immutable) "
)
HEAD: Final = re.compile(r"(?:else )?(?:if|for|while) \(|else\b|unchecked\b")


def masked(source: str) -> str:
    """The source with blanks for what is not code, each character at its place."""
    return NOT_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), source)


def closing(code: str, opening: int) -> int:
    """The place of the parenthesis that closes this one."""
    depth = 0
    for place in range(opening, len(code)):
        depth += (code[place] == "(") - (code[place] == ")")
        if depth == 0:
            return place
    raise ValueError(f"nothing closes the parenthesis at {opening}")


def statements(code: str) -> Iterator[tuple[int, int]]:
    """Where each simple statement inside a function begins, its conditions aside, and ends."""
    braces = parentheses = 0
    begun = 0
    for place, character in enumerate(code):
        parentheses += (character == "(") - (character == ")")
        braces += (character == "{") - (character == "}")
        if parentheses or character not in "{};":
            continue
        if character == ";" and braces > 1:
            start = _behind_heads(code, begun, place)
            if start < place:
                yield start, place + 1
        begun = place + 1


def _behind_heads(code: str, start: int, end: int) -> int:
    while True:
        start += len(code[start:end]) - len(code[start:end].lstrip())
        head = HEAD.match(code, start, end)
        if head is None:
            return start
        start = closing(code, head.end() - 1) + 1 if head.group().endswith("(") else head.end()


def mutants(source: str) -> list[Mutant]:
    """Every mutant, in the order of their places."""
    code = masked(source)
    found = [
        *_operators(code),
        *_constants(code),
        *_conditions(code),
        *_deletions(code),
    ]
    return sorted(found, key=lambda each: (each.start, each.end, each.operator, each.after))


def _operators(code: str) -> Iterator[Mutant]:
    for token in TOKEN.finditer(code):
        for operator, after in OPERATORS[token.group()]:
            yield Mutant(operator, *token.span(), after)


def _constants(code: str) -> Iterator[Mutant]:
    for found in CONSTANT.finditer(code):
        text = found.group()
        if text in {"true", "false"}:
            after = "false" if text == "true" else "true"
        elif text.startswith("type"):
            after = f"({text} - 1)"
        elif text.startswith("0x"):
            after = f"{int(text, 16) ^ 1:#0{len(text)}x}"
        else:
            after = str(int(text) + 1)
        yield Mutant("constant", *found.span(), after)


def _conditions(code: str) -> Iterator[Mutant]:
    for found in CONDITION.finditer(code):
        end = closing(code, found.end() - 1)
        if NEGATED_BY_OPERATOR.fullmatch(code, found.end(), end):
            continue
        yield Mutant("condition", found.end(), end, f"!({code[found.end() : end]})")
    for found in CHOICE.finditer(code):
        yield Mutant("condition", *found.span(1), f"!({found.group(1)})")


def _deletions(code: str) -> Iterator[Mutant]:
    for start, end in statements(code):
        text = code[start:end]
        if DECLARATION.match(text):
            continue
        yield Mutant("revert" if text.startswith("revert") else "statement", start, end, "{}")
