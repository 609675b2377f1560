#!/usr/bin/env python
# -*- coding: ascii -*-
"""Records how an interpreter reads and writes literals, for the tests of src/wire/literal.rs:

    python2 scripts/literals.py > tests/vectors/literals-python2.json
    python3 scripts/literals.py > tests/vectors/literals-python3.json

"read" has sources with their values, null where the interpreter refuses; "written" has texts as it writes them.
"""
import ast
import json
import sys
import warnings

IS_2 = sys.version_info[0] == 2

SOURCES = [
    # Strings, their quotes and prefixes.
    "''", '""', "'a'", '"a"', "'it\\'s'", '"it\'s"', "'say \"hi\"'", "u'a'", "U'a'", "b'a'", "B'a'", 'u"a"', 'b"a"',
    "'a", "a'", "'a\"", "'a\nb'", "'a\rb'", "x'a'", "u 'a'",
    # Escapes.
    "'\\\\'", "'\\''", "'\\\"'", "'\\a\\b\\f\\n\\r\\t\\v'", "'a\\\nb'", "'\\q'", "'\\ '", "'\\8'",
    "'\\0'", "'\\7'", "'\\101'", "'\\1011'", "'\\18'", "'\\x41'", "'\\x4'", "'\\xg1'", "'\\x'", "'\\", "'\\'", "'\\x+1'",
    "u'\\u0041'", "u'\\u2713'", "u'\\U0001f389'", "u'\\u004'", "u'\\u+041'", "u'\\U00110000'", "u'\\xe9'",
    "u'\\351'", "u'\\u00e9'", "b'\\u0041'", "b'\\U00000041'", "b'\\N{DIGIT ONE}'",
    # Bytes that are UTF-8, for Python 2.
    "'\\xc3\\xa9'", "b'\\xc3\\xa9'", "'\\303\\251'", "u'\\xc3\\xa9'", "'\\xe2\\x9c\\x93 \\xf0\\x9f\\x8e\\x89'",
    # Bytes that are not.
    "'\\xe9'", "b'\\xe9'", "'\\xc3'", "'\\xa0\\x85'", "'\\xc0\\x80'",
    # Numbers and words.
    "0", "1", "-1", "12000", "9223372036854775807", "-9223372036854775808", "None", "True", "False", "-", "- 1a", "1a",
    "none", "Nonesuch", "__import__('os')", "1 1", "a", "",
    # What has values in it.
    "[]", "()", "{}", "[1]", "[1,]", "(1,)", "(1)", "('a')", "(1, 2)", "(1, 2,)", "[1, [2, (3, {4: 5})]]", "[,]", "(,)",
    "{,}", "[1 2]", "[1,, 2]", "[1", "(1]", "[1)", "{1: 2", "{1}:", "{1:}", "{:1}", "{1: 2, 1: 3}", "{'a': 1, 'b': 2,}",
    "{(1, 2): 3}", "{None: True}", "{[]: 1}", "{{}: 1}", "{([],): 1}", "[\n1\t,\n2 ]", "[1]]", "[1] x", "[ ]", "( )",
    "{ }", "[(1)]", "('host', 12000)",
]

TEXTS = [
    u"", u"plain", u"it's", u'say "hi"', u"it's \"both\"", u"back\\slash \\x41 \\'", u"\t\n\r", u"caf\xe9", u"\xe9",
    u"\u2713 \U0001f389", u"\xa0\xad\x85", u"\u200b\u2028\u202e\ufeff", u"\ud7ff\ue000\uffff\U00010000\U0010ffff",
    u"'\xe9\"", u"\xc3\xa9", u"a\x7fb", u"".join(map(chr if not IS_2 else unichr, range(0x100))),  # noqa: F821
]


def value(literal):
    """With a name for what JSON does not have. The bytes of Python 2 are UTF-8, or else code points."""
    if isinstance(literal, bytes):
        try:
            return literal.decode("utf-8")
        except UnicodeDecodeError:
            return literal.decode("latin-1")
    if isinstance(literal, tuple):
        return {"tuple": [value(item) for item in literal]}
    if isinstance(literal, list):
        return [value(item) for item in literal]
    if isinstance(literal, dict):
        return {"dict": sorted([[value(key), value(literal[key])] for key in literal], key=repr)}
    if literal is None:
        return {"none": True}
    return literal


def read(source):
    try:
        return value(ast.literal_eval(source))
    except (SyntaxError, ValueError, TypeError):
        return None


def written(text):
    """Everything that the interpreter writes for it; what it says must be what it reads."""
    spellings = [repr(text)]
    if IS_2:
        spellings.append(repr(text.encode("utf-8")))
    assert all(value(ast.literal_eval(spelling)) == text for spelling in spellings)
    return spellings


warnings.simplefilter("ignore")
record = [
    ("read", [[source, read(source)] for source in SOURCES]),
    ("written", [[text, written(text)] for text in TEXTS]),
]
print("{")
for name, entries in record:
    lines = ",\n".join("  " + json.dumps(entry, sort_keys=True) for entry in entries)
    print(' "%s": [\n%s\n ]%s' % (name, lines, "," if name == "read" else ""))
print("}")
