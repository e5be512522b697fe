"""Whether anything but ordinary files and folders with plain names and modes lies among the outputs that came home."""
import os
import stat
import unicodedata

root = os.environ["JUDGE_OUTPUTS"]
TURNS = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
seen = 0


def strange(path, name):
    it = os.lstat(path)
    mode = stat.S_IMODE(it.st_mode)
    try:
        text = os.fsencode(name).decode()
    except UnicodeDecodeError:
        return "a name that is no text"
    if any(unicodedata.category(c) == "Cc" or ord(c) in TURNS for c in text):
        return "a name with control characters"
    if stat.S_ISDIR(it.st_mode):
        return None if mode == 0o755 else f"a folder with mode {mode:o}"
    if not stat.S_ISREG(it.st_mode):
        return "neither file nor folder"
    if mode != 0o644:
        return f"a file with mode {mode:o}"
    if it.st_nlink != 1:
        return "a hard link"
    if os.listxattr(path):
        return "an extended attribute"
    return "more than 4 MiB" if it.st_size > 4 << 20 else None


def walk(folder, depth):
    global seen
    if depth > 70:
        yield folder[:40], "a very deep folder"
        return
    for name in os.listdir(folder):
        seen += 1
        path = os.path.join(folder, name)
        if why := strange(path, name):
            yield path, why
        elif os.path.isdir(path):
            yield from walk(path, depth + 1)


found = next(walk(root, 0), None)
print(f"SUCCEEDED {found[1]}: {ascii(found[0])}" if found else "REFUSED left-out")
