//! What `aido run --help` says below its options.

pub(super) const RUN_HELP: &str = "\
Examples:
  aido run migrate.py                       a script: its #! line or extension names the interpreter
  aido run terraform plan -out x            a command; everything after it is its own
  aido run -- python3 -c 'print(1)'         the same, when the command looks like an option
  aido run --runtime python:3.11 a.py       in an image
  aido run --input data --output out/ a.py  reads data, writes out/ and nothing else
  aido run -e STAGE=test -e TOKEN a.py      one value, and one variable of yours passed on
  aido run -it bash                         a shell at your terminal, in the sandbox

The task runs in /workspace. /outputs ($AIDO_OUTPUTS) is writable and kept; outputs of the
workspace are folders of it: /workspace/out and /outputs/out are the same. The rest is
read-only or vanishes with the sandbox. There is no network
unless sandbox.yaml or an option grants hosts.

Exit status:
  0-255  the task's own, unchanged
  124    the time limit (--ttl) ended it
  125    aido failed, or refused: nothing ran
  126    the command was found but could not be executed
  127    the command was not found
  128+N  signal N ended it (130: Ctrl-C; 137: SIGKILL, also for the memory limit)
Where the task's own status looks like one of these, `aido show` says which it was.";
