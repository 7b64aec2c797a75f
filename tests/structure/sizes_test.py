"""Files of at most 600 lines, functions of at most 70, main.cc of at most 60, lines of at most 100 columns."""

import re
import unittest

import source_tree

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 70
MAX_MAIN_LINES = 60
MAX_COLUMNS = 100

# clang-format leaves a definition's first line at its own indentation, ending in "{", and its end as "}" there.
NOT_A_FUNCTION = re.compile(r"^\s*(namespace|class|struct|enum|union|extern|message|typedef)\b|=\s*\{$|^\s*(\}|//|#)")


def long_functions(text, limit=MAX_FUNCTION_LINES):
    """(line, lines) of each function longer than the limit. Reads the indentation that clang-format gives."""
    lines = text.splitlines()
    found = []
    for start, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if indent > 2 or not line.endswith("{") or NOT_A_FUNCTION.match(line) or ")" not in line:
            continue
        end = next((i for i in range(start + 1, len(lines)) if re.match(r"^ {%d}\}" % indent, lines[i])), None)
        if end is not None and end - start + 1 > limit:
            found.append((start + 1, end - start + 1))
    return found


class SizesTest(unittest.TestCase):
    def setUp(self):
        self.sources = source_tree.files(source_tree.SOURCE_FOLDERS, (".h", ".cc", ".proto"))

    def test_files_are_short(self):
        lines = {path: len(source_tree.read(path).splitlines()) for path in self.sources}
        self.assertEqual({path: n for path, n in lines.items() if n > MAX_FILE_LINES}, {})

    def test_functions_are_short(self):
        found = {path: long_functions(source_tree.read(path)) for path in self.sources if not path.endswith(".proto")}
        self.assertEqual({path: long for path, long in found.items() if long}, {})

    def test_mains_only_start_the_app(self):
        mains = {path: len(source_tree.read(path).splitlines()) for path in self.sources if path.endswith("/main.cc")}
        self.assertEqual({path: n for path, n in mains.items() if n > MAX_MAIN_LINES}, {})

    def test_lines_are_short(self):
        problems = [f"{path}:{number}" for path in self.sources if not path.endswith(".proto")
                    for number, line in enumerate(source_tree.read(path).splitlines(), start=1)
                    if len(line) > MAX_COLUMNS and "http" not in line and 'R"' not in line]
        self.assertEqual(problems, [])

    def test_long_functions_are_found(self):
        text = "int F() {\n" + "  g();\n" * 80 + "}\n"
        self.assertEqual(long_functions(text), [(1, 82)])
        self.assertEqual(long_functions("int F() {\n" + "  g();\n" * 60 + "}\n"), [])
        self.assertEqual(long_functions("namespace a (x) {\n" + "  g();\n" * 80 + "}\n"), [])


if __name__ == "__main__":
    unittest.main()
