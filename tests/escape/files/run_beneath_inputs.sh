# promise: 5
# tries: replacing what the caller will run: scripts of the project, hooks, settings of tools
# refused: EROFS EACCES ENOENT
# record: control read-only
# record: hidden .git
# proof: bare
. ./attack.sh
attempt "its own file" put "echo hello" case.sh
attempt "a hook" put "echo hello" .git/hooks-config
attempt "git settings" put "[core]" .git/config
attempt "an editor's settings" mkdir .vscode
attempt "a new secret" put "PASSWORD=mine" .env
attempt "through /proc" put "echo hello" /proc/self/cwd/case.sh
attempt "through another name" put "echo hello" /proc/self/root/workspace/case.sh
verdict
