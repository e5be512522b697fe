# promise: 11
# tries: pipes and sockets among the outputs, on which the caller's tools would hang
# refused: left-out
# record: omitted pipe
# record: omitted socket
# record: collected plain
# proof: bare
# judge: outputs
# within: 40
import os
import socket

os.chdir(os.environ["AIDO_OUTPUTS"])
os.mkfifo("pipe")
s = socket.socket(socket.AF_UNIX)
s.bind("socket")
with open("plain", "w") as file:
    file.write("plain\n")
