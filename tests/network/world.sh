#!/bin/sh
# A network of its own for one command: names that lead to servers of this script, and to nobody else. Run in fresh
# network, mount and process namespaces by root of these: world.sh COMMAND...
#
# WORLD_SERVERS names more servers of servers.sh. WORLD_AS=plain runs the command as an ordinary user, who has one number.
set -e
here=$(realpath "$(dirname "$0")")
ip link set lo up
for address in 93.184.215.14 93.184.215.15 93.184.215.16 10.0.0.1 169.254.169.254; do # the first three look public
	ip address add $address/32 dev lo
done
ip address add 2606:2800:21f::14/128 dev lo nodad 2>/dev/null || true # a host may do without IPv6
mount -t tmpfs -o mode=755 none /mnt
echo 'nameserver 93.184.215.14' >/mnt/resolv.conf
printf 'hosts: files dns\npasswd: files\ngroup: files\n' >/mnt/nsswitch.conf
cat >/mnt/hosts <<END
127.0.0.1 localhost
93.184.215.14 web.example.com other.example.com
93.184.215.15 www.example.com passed.example.com git.example.com npm.example.com pypi.example.com files.example.com
93.184.215.16 db.example.com ssh.example.com
10.0.0.1 inner.example.com
169.254.169.254 metadata.example.com
127.0.0.1 loop.example.com
2606:2800:21f::14 six.example.com
END
for file in resolv.conf nsswitch.conf hosts; do mount --bind /mnt/$file /etc/$file; done
cd /mnt
exec 3>/mnt/openssl.log
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout root.key -out root.pem -days 2 \
	-subj '/CN=a root of the tests' >&3 2>&3
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj '/CN=web' >&3 2>&3
echo 'subjectAltName=DNS:*.example.com' >leaf.ext
openssl x509 -req -in leaf.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem \
	>&3 2>&3
exec 3>&-
# As on a host with an authority of its own: programs there and in sandboxes with the host's root trust it.
bundle=/etc/ssl/certs/ca-certificates.crt
if [ -e $bundle ]; then
	cat $bundle root.pem >bundle.pem
	mount --bind bundle.pem "$(readlink -f $bundle)"
fi
mkfifo ready
python3 "$here/serve.py" leaf.pem leaf.key >ready 2>/mnt/serve.log &
read -r _ <ready
for server in ${WORLD_SERVERS:-}; do
	"$here/servers.sh" "$server" >>/mnt/servers.log 2>&1 && continue
	cat /mnt/servers.log >&2
	exit 99
done
export SSL_CERT_FILE=/mnt/root.pem
cd "$OLDPWD"
[ "$WORLD_AS" != plain ] || exec unshare --user --map-user=1000 --map-group=1000 "$@"
exec "$@"
