"""Tar streams that readers read differently, or that want what no layer may.

`TAPES`: name -> (bytes, how). `how` is `refused`, or what `cat t/file` must print in a sandbox of the layer. Those in
`READINGS` are read differently by the readers that stand beside them; `ci/reference` proves that, so that none is
refused for nothing.
"""

BLOCK = 512


def number(value, width):
    return b"%0*o\0" % (width - 1, value)


def header(name, kind=b"0", size=0, link=b"", magic=b"ustar\x0000", prefix=b"", size_field=None, signed=False, mode=0o644):
    block = bytearray(BLOCK)
    for at, field in ((0, name), (100, number(mode, 8)), (108, number(0, 8)), (116, number(0, 8)),
                      (124, size_field or number(size, 12)), (136, number(1700000000, 12)), (148, b" " * 8), (156, kind),
                      (157, link), (257, magic), (345, prefix)):
        block[at:at + len(field)] = field
    total = sum(b - 256 if signed and b > 127 else b for b in block)
    block[148:156] = b"%06o\0 " % total
    return bytes(block)


def entry(name, data=b"", kind=b"0", **more):
    more.setdefault("size", len(data))
    return header(name, kind, **more) + data + bytes(-len(data) % BLOCK)


def records(values, kind=b"x"):
    data = b""
    for key, value in values:
        rest = len(key) + len(value) + 3
        length = next(n for n in range(rest, rest + 9) if n == rest + len(str(n)))
        data += b"%d %s=%s\n" % (length, key, value)
    return entry(b"PaxHeaders/x", data, kind)


END = bytes(2 * BLOCK)
FILE = entry(b"t/", kind=b"5", mode=0o755) + entry(b"t/file", b"honest")
GNU = b"ustar  \0"


def old_sparse(extents, size, data):
    block = bytearray(header(b"t/sparse", b"S", len(data), magic=GNU))
    for n, (offset, length) in enumerate(extents):
        block[386 + 24 * n:410 + 24 * n] = number(offset, 12) + number(length, 12)
    block[483:495] = number(size, 12)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + bytes(-len(data) % BLOCK)


# What follows a file whose extended header gives another size: data to some, an entry to others.
HIDDEN = entry(b"t/file", b"hidden")

TAPES = {
    "behind-the-end": (FILE + END + HIDDEN + END, "refused"),
    "lone-zero-block": (FILE + bytes(BLOCK) + HIDDEN + END, "refused"),
    "pax-size": (FILE + records([(b"size", b"%d" % len(HIDDEN))]) + header(b"t/shell") + HIDDEN + END, "honest"),
    "pax-before-long-name": (FILE + records([(b"size", b"1024")]) + entry(b"././@LongLink", b"t/long\0", b"L", magic=GNU)
                             + entry(b"t/short", HIDDEN, magic=GNU) + END, "refused"),
    "global-path": (FILE + records([(b"path", b"t/elsewhere")], b"g") + entry(b"t/other", b"x") + END, "refused"),
    "global-between": (FILE + records([(b"path", b"t/renamed")]) + records([(b"comment", b"x")], b"g")
                       + entry(b"t/other", b"x") + END, "refused"),
    "long-name-with-nul": (FILE + entry(b"././@LongLink", b"t/file\0/../../../tmp/aido-escaped-tape\0", b"L", magic=GNU)
                           + entry(b"t/short", b"x", magic=GNU) + END, "refused"),
    "file-or-folder": (FILE + entry(b"t/either/", b"") + END, "refused"),
    "size-with-a-sign": (FILE + entry(b"t/a", HIDDEN, size_field=b"+2000\0") + END, "refused"),
    "prefix-of-no-format": (FILE + entry(b"t/a", b"x", magic=b"", prefix=b"front") + END, "refused"),
    "sparse-unaligned": (FILE + old_sparse([(0, 3), (1024, 512)], 1536, b"abc" + b"d" * 512) + END, "refused"),
    "sparse-overlapping": (FILE + old_sparse([(0, 512), (256, 512)], 768, b"d" * 1024) + END, "refused"),
    "sparse-short": (FILE + old_sparse([(0, 512)], 4096, b"d" * 512) + END, "refused"),
    "size-negative": (FILE + entry(b"t/a", b"", size_field=b"\xff" * 12) + END, "refused"),
    "size-with-a-link": (FILE + entry(b"t/a", HIDDEN, b"1", link=b"t/file") + END, "refused"),
    "checksum-signed": (FILE + entry(b"t/\xff\xff", b"x", signed=True) + END, "refused"),
    "pax-name-with-nul": (FILE + records([(b"path", b"t/a\0b")]) + entry(b"t/other", b"x") + END, "refused"),
    "hard-link-to-a-folder": (FILE + entry(b"t/a", kind=b"1", link=b"t") + END, "refused"),
    "hard-link-through-a-link": (FILE + entry(b"t/etc", kind=b"2", link=b"/etc") + entry(b"t/a", kind=b"1", link=b"t/etc/passwd")
                                 + END, "refused"),
    "whiteout-through-a-link": (FILE + entry(b"t/tmp", kind=b"2", link=b"/tmp") + entry(b"t/tmp/.wh.aido-canary-tape") + END,
                                "refused"),
    "folder-through-a-link": (FILE + entry(b"t/tmp", kind=b"2", link=b"/tmp")
                              + entry(b"t/tmp/aido-escaped-tape/", kind=b"5") + END, "refused"),
    "link-then-same-folder": (FILE + entry(b"t/d", kind=b"2", link=b"/tmp") + entry(b"t/d/", kind=b"5", mode=0o755)
                              + entry(b"t/d/aido-escaped-tape", b"x") + END, "honest"),
    "one-file-by-many-names": (FILE + entry(b"./t/./file", b"second") + entry(b"//t//file", b"last") + END, "last"),
    "deep": (FILE + records([(b"path", b"d/" * 2000 + b"f")]) + entry(b"t/other", b"x") + END, "refused"),
    "name-too-long": (FILE + records([(b"path", b"t/" + b"n" * 256)]) + entry(b"t/other", b"x") + END, "refused"),
    "marks-of-overlays": (FILE + records([(b"SCHILY.xattr.user.overlay.redirect", b"/etc"),
                                          (b"SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                                          (b"SCHILY.xattr.security.capability", b"\1\0\0\2" + b"\xff" * 16)])
                          + entry(b"t/marked/", kind=b"5", mode=0o755) + END, "honest"),
}

# Of these two readers give two lists of names, sizes, kinds, or other content.
READINGS = {
    "behind-the-end": ("tar", "tar -i"),
    "lone-zero-block": ("tar", "busybox"),
    "pax-size": ("tar", "busybox"),
    "global-path": ("tar", "busybox"),
    "file-or-folder": ("tar", "python"),
    "size-with-a-sign": ("busybox", "tar"),
    "prefix-of-no-format": ("tar", "python"),
    "sparse-unaligned": ("tar", "python"),
    "sparse-short": ("tar", "python"),
    "checksum-signed": ("tar", "busybox"),
    "pax-name-with-nul": ("tar", "python"),
}
