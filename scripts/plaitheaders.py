"""Reads the declarations of include/plait/*.h, for check-man and check-symbols.
By itself it prints each public name, one a line.

Not a C parser: it knows how plait's headers are written.  A declaration with
a comment `private' behind it on its line, and a name that begins
with plait_i_, is not part of the API.
"""

import glob
import os
import re

PRIVATE = re.compile(r"/\*\s*private\s*\*/")


def squeeze(text):
    """One form for all spellings of the same declaration."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s*([*(),\[\]])\s*", r"\1", text)


def strip_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def is_tls_header(path):
    """Whether the header is of libplait-tls."""
    return os.path.basename(path).startswith("tls")


def shapes(text):
    """Each (type, its members) that the text shows the inside of, but for
    reserved words and what stands behind a comment with the word private; none
    if the comment above begins with it.  A type without a name is called by its
    first enumerator."""
    for m in re.finditer(r"^(?:typedef )?((?:struct|union|enum)(?: \w+)?) \{"
                         r"(?:(.*?)^\}|([^{}]*)\})", text, re.M | re.S):
        body = re.split(r"/\*[^*]*\bprivate\b", m[2] or m[3] or "")[0]
        body = squeeze(re.sub(r"\buintptr_t reserved\[\d+\];", "",
                              strip_comments(body)))
        if re.search(r"/\* Private\b[^*]*\*/\n$", text[:m.start()]):
            body = ""
        name = m[1] if " " in m[1] else f"enum {re.split(r'[ ,]', body)[0]}"
        yield name, body


def strip_bodies(text):
    """Replaces every {...} that follows a `)' by a semicolon, and drops the
    braces of extern "C" with the lines that hold them."""
    text = re.sub(r"#ifdef __cplusplus.*?#endif", "", text, flags=re.S)
    out = []
    depth = 0
    body = False
    for i, c in enumerate(text):
        if c == "{":
            if depth == 0:
                body = text[:i].rstrip().endswith(")")
            depth += 1
        if depth == 0 or not body:
            out.append(c)
        if c == "}":
            depth -= 1
            if depth == 0 and body:
                out.append(";")
    return "".join(out)


class Headers:
    """functions, types: name to squeezed prototype or typedef of a function.
    macros: name to parameters, of those that are used like functions and are
    no function's.  names: each public name, with the header that declares it:
    those, and other types, constants and variables.  shapes: each type
    whose inside is shown, such as "struct plait_value", to its public members.  placed: names of functions over which a macro adds the place
    of the call.  inlined: names of functions that callers compile in.  words:
    every identifier."""

    def __init__(self, paths=None):
        self.functions = {}
        self.types = {}
        self.macros = {}
        self.inlined = set()
        self.words = set()
        self.placed = set()
        self.where = {}
        self.names = {}
        self.shapes = {}
        self.by_type = []
        for path in sorted(glob.glob("include/plait/*.h") if paths is None else paths):
            with open(path, encoding="utf-8") as f:
                self.read(path, f.read())
        for type_name, name in self.by_type:
            if type_name in self.types:
                proto = self.types[type_name].replace("typedef ", "", 1)
                self.functions[name] = proto.replace(
                    type_name + "(", name + "(", 1)
        for name in [*self.functions, *self.types]:
            self.names.setdefault(name, self.where[name])

    def read(self, path, text):
        private = set()
        for line in text.splitlines():
            if PRIVATE.search(line):
                private.update(re.findall(r"\b(plait_\w+)\s*\(", line))
        self.shapes.update(shapes(text))
        code = strip_comments(text)
        self.words.update(re.findall(r"\b\w+\b", code))
        code = code.replace("\\\n", " ")
        for m in re.finditer(r"^#\s*define\s+(plait_[a-z0-9_]+)\(([^)]*)\)"
                             r"(\s*\(\1\)\()?", code, re.M):
            if m[3]:
                self.placed.add(m[1])
            else:
                self.add_macro(m[1], m[2], path, private)
        for name in re.findall(r"^#\s*define\s+(\w+)", code, re.M):
            if not name.endswith("_H"):
                self.add_name(name, path, private)
        code = strip_bodies(code)
        code = re.sub(r"^\s*#.*$", "", code, flags=re.M)
        for statement in self.statements(code):
            self.add_function(statement, path, private)
            self.add_names(statement, path, private)

    @staticmethod
    def statements(code):
        """Split at the semicolons outside of braces."""
        start = depth = 0
        for i, c in enumerate(code):
            depth += (c == "{") - (c == "}")
            if c == ";" and depth == 0:
                yield code[start:i]
                start = i + 1

    @staticmethod
    def is_private(name, private):
        return name in private or name.startswith("plait_i_") or \
            name.endswith("_")

    def add_name(self, name, path, private):
        if not self.is_private(name, private):
            self.names.setdefault(name, path)

    def add_names(self, statement, path, private):
        """What a statement declares, functions aside, and enumerators."""
        s = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", statement, flags=re.S)
        s = " ".join(s.split())
        m = re.match(r"(?:typedef )?(?:struct|union|enum) (plait_\w+)(?: \{|$)",
                     s)
        if m:
            self.add_name(m[1], path, private)
        if re.match(r"(typedef )?enum\b", s) and "{" in s:
            body = s[s.index("{") + 1:s.rindex("}")]
            for name in re.findall(r"(?:^|,) *(\w+)", body):
                self.add_name(name, path, private)
        m = re.match(r"(?:extern|typedef) [^(]*?(\w+)(?:\[[^]]*\])?$", s)
        if m:
            self.add_name(m[1], path, private)

    def add_macro(self, name, params, path, private):
        if not self.is_private(name, private):
            self.macros[name] = [p.strip() for p in params.split(",")]
            self.where[name] = path

    def add_function(self, statement, path, private):
        s = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", statement, flags=re.S)
        s = re.sub(r"\bPLAIT_[A-Z_]+\s*(\([^()]*\))?", " ", s)
        is_inline = re.search(r"\bPLAIT_INLINE\b", statement)
        s = re.sub(r"\b(static|inline|extern)\b", " ", s)
        s = s.strip()
        m = re.match(r"typedef\s[^(]*?\b(plait_\w+)\s*\(", s)
        if m:
            self.types[m[1]] = squeeze(s)
            self.where[m[1]] = path
        if s.startswith("typedef") or "{" in s or "=" in s:
            return
        m = re.match(r"(plait_\w+)\s+(plait_\w+)$", s)
        if m and not self.is_private(m[2], private):
            self.by_type.append((m[1], m[2]))  # plait_callback plait_then_x;
            self.where[m[2]] = path
            return
        m = re.match(r"[\w\s*]+?\b(plait_\w+)\s*\(", s)
        if m and not self.is_private(m[1], private):
            self.functions[m[1]] = squeeze(s)
            self.where[m[1]] = path
            if is_inline:
                self.inlined.add(m[1])

    def prototype(self, name):
        """Of a function or a function's type, None if unknown.  Without the
        place, if a macro adds that."""
        text = self.functions.get(name, self.types.get(name))
        if name in self.placed:
            text = re.sub(r",?const char\*where\)$", ")", text)
            text = re.sub(r"\(\)$", "(void)", text)
            text = text.replace("(const char*where,", "(", 1)
        return text


def of_library(is_tls):
    """What the headers of libplait-tls declare, or all others."""
    return Headers(path for path in glob.glob("include/plait/*.h")
                   if is_tls_header(path) == is_tls)


if __name__ == "__main__":
    print("\n".join(sorted(Headers().names)))
