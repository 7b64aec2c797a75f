"""Every message field, enum value and RPC of the wire contract is explained where it stands."""

import re
import unittest

import source_tree

DECLARATION = re.compile(
    r"^\s*(?:(?:optional|repeated|required)\s+)?[\w.<>, ]+\s+(?P<field>\w+)\s*=\s*\d+\s*(\[.*)?;|"
    r"^\s*(?P<value>[A-Z][A-Z0-9_]*)\s*=\s*\d+\s*(\[.*)?;|^\s*rpc\s+(?P<rpc>\w+)\(")
# Explained once, in proto/common.proto: every request has one.
SELF_EXPLAINED = re.compile(r"^\s*(Header header = 1;|\w+_UNSPECIFIED = 0;)")


def uncommented(text):
    """Lines of declarations with no comment above or behind them."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if not DECLARATION.match(line) or SELF_EXPLAINED.match(line):
            continue
        above = lines[number - 2].strip() if number > 1 else ""
        if "//" not in line and not above.startswith("//"):
            found.append(number)
    return found


class ProtoCommentsTest(unittest.TestCase):
    def test_every_declaration_is_explained(self):
        problems = [f"{path}:{number}: {source_tree.read(path).splitlines()[number - 1].strip()}"
                    for path in source_tree.files(("proto",), (".proto",))
                    for number in uncommented(source_tree.read(path))]
        self.assertEqual(problems, [])

    def test_bare_declarations_are_found(self):
        self.assertEqual(uncommented("message A {\n  uint32 rows = 1;\n}\n"), [2])
        self.assertEqual(uncommented("enum A {\n  RED = 1;\n}\n"), [2])
        self.assertEqual(uncommented("message A {\n  // Rows.\n  uint32 rows = 1;\n  bytes x = 2;  // f32 [n]\n}\n"), [])


if __name__ == "__main__":
    unittest.main()
