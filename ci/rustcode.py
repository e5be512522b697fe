"""Enough of Rust's lexical grammar to count lines and find words in code.

`blank` keeps every line break and puts spaces for what is not code: comments (nested ones too), the
contents of strings (raw, byte and C strings), and character literals. What is left can be matched by
simple patterns, and braces in it are braces.
"""
import re

SKIP = {"target", ".git"}
_RAW = re.compile(r'\b(?:br|cr|r)(#*)"')
_STRING = re.compile(r'\b[bc]?"|"')
_CHAR = re.compile(r"b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^\\'\n])'", re.S)


def sources(root):
    """Every Rust file of the workspace that is not generated."""
    return sorted(p for p in root.rglob("*.rs") if not SKIP & set(p.relative_to(root).parts))


def _spaces(text):
    return re.sub(r"[^\n]", " ", text)


def _comment_end(text, at):
    """The end of the block comment that starts at `at`."""
    depth, i = 0, at
    while i < len(text):
        if text.startswith("/*", i):
            depth, i = depth + 1, i + 2
        elif text.startswith("*/", i):
            depth, i = depth - 1, i + 2
            if depth == 0:
                return i
        else:
            i += 1
    return i


def _string_end(text, at):
    """The end of a string with escapes whose opening quote is at `at`."""
    i = at + 1
    while i < len(text) and text[i] != '"':
        i += 2 if text[i] == "\\" else 1
    return i + 1


def _literal_end(text, i):
    """The end of what is not code at `i`, or None where code goes on."""
    if text.startswith("//", i):
        end = text.find("\n", i)
        return len(text) if end < 0 else end
    if text.startswith("/*", i):
        return _comment_end(text, i)
    if raw := _RAW.match(text, i):
        end = text.find('"' + raw[1], raw.end())
        return len(text) if end < 0 else end + 1 + len(raw[1])
    if string := _STRING.match(text, i):
        return _string_end(text, string.end() - 1)
    if char := _CHAR.match(text, i):
        return char.end()
    return None


def blank(text):
    out, i = [], 0
    while i < len(text):
        end = _literal_end(text, i)
        if end is None:
            # A word is taken whole: `r` in `for"` or `b` in `ab'x'` opens nothing.
            word = re.compile(r"\w+").match(text, i)
            end = word.end() if word and not _RAW.match(text, i) else i + 1
            out.append(text[i:end])
        else:
            out.append(_spaces(text[i:end]))
        i = end
    return "".join(out)


def block_end(code, opening):
    """The place after the brace that closes the one at `opening`; code is blanked."""
    depth = 0
    for i in range(opening, len(code)):
        if code[i] == "{":
            depth += 1
        elif code[i] == "}":
            depth -= 1
            if depth == 0:
                return i + 1
    return len(code)


# `#[cfg(test)]`, also within `all(…)`, then maybe more attributes, then the item.
_TEST_ITEM = re.compile(r"#\[cfg\((?:all\([^]]*\btest\b[^]]*\)|test)\)\]\s*(?:#\[[^]]*\]\s*)*[^{;]*[{;]")


def test_spans(code):
    """(start, end) of each item under `#[cfg(test)]`; code is blanked."""
    at = 0
    while item := _TEST_ITEM.search(code, at):
        at = item.end() if code[item.end() - 1] == ";" else block_end(code, item.end() - 1)
        yield item.start(), at


def without_tests(code):
    """Blanked code with the items under `#[cfg(test)]` made spaces."""
    for start, end in test_spans(code):
        code = code[:start] + _spaces(code[start:end]) + code[end:]
    return code


_TEST_MODULE = re.compile(r"\bmod\s+(\w+)\s*;$")


def test_files(files):
    """The files among `files` that are modules under `#[cfg(test)]`, or lie below one.

    Not what another file takes in by `#[path]`, as a build script does: that is code after all."""
    found, roots, taken = set(), [], set()
    for file in files:
        text = file.read_text()
        code = blank(text)
        for path in re.findall(r'#\[path = "([^"]+)"\]', text):
            target = (file.parent / path).resolve()
            taken.add(target.parent if target.name == "mod.rs" else target.with_suffix(""))
        home = file.parent if file.name in ("lib.rs", "main.rs", "mod.rs", "build.rs") else file.with_suffix("")
        for start, end in test_spans(code):
            if module := _TEST_MODULE.search(code[start:end].strip()):
                roots.append(home / module[1])
    roots = [r for r in roots if r not in taken]
    for file in files:
        if any(file == r.with_suffix(".rs") or r in file.parents for r in roots):
            found.add(file)
    return found


_FN = re.compile(r"\bfn\s+(\w+)")


def functions(code):
    """(name, first line, lines) of each function that has a body; nested ones count in both."""
    for found in _FN.finditer(code):
        depth = 0
        for i in range(found.end(), len(code)):
            c = code[i]
            depth += (c in "([") - (c in ")]")
            if c == ";" and depth == 0:
                break
            if c == "{" and depth == 0:
                end = block_end(code, i)
                first = code.count("\n", 0, found.start()) + 1
                yield found[1], first, code.count("\n", found.start(), end) + 1
                break
