# promise: 5
# tries: changing an input: write, mode, name, times, links, folders, removal
# refused: EROFS EACCES
# record: control read-only
# proof: bare
. ./attack.sh
attempt "chmod" chmod 777 input
attempt "touch" touch -d 2001-01-01 input
attempt "rename" mv input other
attempt "a new folder" mkdir new
attempt "a new file" touch new-file
attempt "a new link" ln -s input new-link
attempt "a file in a folder" touch folder/new
attempt "removal of a folder" rm -r folder
attempt "removal" rm -f input
verdict
