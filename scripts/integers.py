"""Integers on the command lines of Python programs, read as pompc reads them."""

import argparse
import re


def integer(least=0, most=2**64 - 1):
    """A `type` for argparse: whole numbers from `least` (0 or more) to `most`, digits alone, without a leading zero."""

    def read(text):
        if not re.fullmatch("0|[1-9][0-9]{0,19}", text, re.ASCII) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f'"{text}"; allowed: integer in decimal, {least} to {most}')
        return int(text)

    return read
