#!/bin/sh
# A network of its own for one command: names that lead to servers of this script, and to nobody else. Run in fresh
# network, mount and process namespaces by root of these: world.sh COMMAND...
set -e
here=$(dirname "$0")
ip link set lo up
ip address add 93.184.215.14/32 dev lo # looks public
ip address add 10.0.0.1/32 dev lo
mount -t tmpfs none /mnt
echo 'nameserver 127.0.0.1' >/mnt/resolv.conf
printf 'hosts: files\npasswd: files\ngroup: files\n' >/mnt/nsswitch.conf
cat >/mnt/hosts <<END
127.0.0.1 localhost
93.184.215.14 web.example.com other.example.com
10.0.0.1 inner.example.com
END
for file in resolv.conf nsswitch.conf hosts; do mount --bind /mnt/$file /etc/$file; done
cd /mnt
exec 3>/mnt/openssl.log
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem -days 2 \
	-subj '/CN=a root of the tests' >&3 2>&3
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj '/CN=web' >&3 2>&3
echo 'subjectAltName=DNS:web.example.com,DNS:other.example.com,DNS:inner.example.com' >leaf.ext
openssl x509 -req -in leaf.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem \
	>&3 2>&3
exec 3>&-
mkfifo ready
python3 "$here/serve.py" leaf.pem leaf.key >ready 2>/mnt/serve.log &
read -r _ <ready
export SSL_CERT_FILE=/mnt/root.pem
cd "$OLDPWD"
exec "$@"
