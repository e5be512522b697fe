# promise: 4
# tries: hidden inputs (.env, .git) by name, by listing, by descriptor, by removal of what hides them
# refused: ENOENT EROFS EACCES not-listed
# record: hidden .env
# record: hidden .git
# record: hidden folder/.env
# record: control files
# proof: bare
import os
from attack import attempt, read_some, refused_as, succeeded, verdict

for name in (".env", "folder/.env", ".git/config", "./folder/../.env", "folder/../folder/.env"):
    attempt(name, lambda name=name: read_some(name))
at = os.open(".", os.O_RDONLY)
attempt("by descriptor", lambda: os.close(os.open(".env", os.O_RDONLY, dir_fd=at)))
attempt("removing what hides it", lambda: os.unlink(".env"))
attempt("a link to it", lambda: os.link(".env", "/tmp/env"))
if {".env", ".git"} & set(os.listdir(".")):
    succeeded("listed")
refused_as("not-listed")
verdict()
