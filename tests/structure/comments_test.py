"""Comments begin with a sentence that says what the thing is, not with a fragment ("Of each call.", "Whether it ran.")."""

import re
import unittest

import source_tree

SUFFIXES = (".h", ".cc", ".proto")
# "Where there are several planners, one that is slow ..." is a sentence: its main clause follows the comma.
FRAGMENT = re.compile(r"//\s*(Whether|How (often|long|many|much|far)|(Of|By|As|Where)\b(?![^.;:]*,))\b")


def fragments(text):
    """Numbers of the lines at which a comment begins as a fragment."""
    found = []
    lines = [line.strip() for line in text.splitlines()]
    for i, line in enumerate(lines):
        if not line.startswith("//") or (i > 0 and lines[i - 1].startswith("//")):
            continue
        end = next((j for j in range(i, len(lines)) if not lines[j].startswith("//")), len(lines))
        comment = "// " + " ".join(part.lstrip("/ ") for part in lines[i:end])
        if FRAGMENT.match(comment):
            found.append(i + 1)
    return found


class CommentsTest(unittest.TestCase):
    def test_comments_begin_as_sentences(self):
        paths = source_tree.files(source_tree.SOURCE_FOLDERS, SUFFIXES)
        self.assertGreater(len(paths), 400)
        self.assertEqual([f"{path}:{line}" for path in paths for line in fragments(source_tree.read(path))], [])

    def test_fragments_are_found(self):
        self.assertEqual(fragments("// Of each\n// call.\nint a;\n// Where it is.\nint b;\n  // Whether it ran, and how.\n"),
                         [1, 4, 6])
        self.assertEqual(fragments("// Where there are two,\n// one waits.\nint a;\n// The end.\n// Of it.\n"), [])


if __name__ == "__main__":
    unittest.main()
