#!/bin/sh
# A server of the tests' network, as distributions install it: servers.sh NAME, within world.sh. It comes back when the
# server takes connections, and its processes end with their namespace.
set -e
cd /mnt

# None of them is root: PostgreSQL and the others do not want it, and the tests' root may have one number only.
somebody() { unshare --user --map-user=1000 --map-group=1000 "$@"; }

# Ordinary users may take every port here.
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start

answers() { # answers ADDRESS PORT
	for _ in $(seq 200); do
		if python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)' "$1" "$2" 2>/dev/null; then return; fi
		sleep 0.05
	done
	echo "nobody takes connections at $1:$2"
	exit 1
}

case $1 in
nginx)
	mkdir -p n www npm pypi/simple files git
	cat >nginx.conf <<CONF
daemon off; pid /mnt/nginx.pid; error_log /mnt/nginx.log; worker_processes 1; events {}
http {
	access_log off; default_type application/octet-stream; client_max_body_size 64m;
	client_body_temp_path n/1; proxy_temp_path n/2; fastcgi_temp_path n/3; uwsgi_temp_path n/4; scgi_temp_path n/5;
	ssl_certificate /mnt/leaf.pem; ssl_certificate_key /mnt/leaf.key;
	server {
		listen 93.184.215.15:80; listen 93.184.215.15:443 ssl http2; server_name www.example.com passed.example.com;
		location / { default_type text/plain; return 200 "\$host \$request_method \$request_uri\n"; }
		location /moved/ { return 302 https://other.example.com/; }
	}
	server {
		listen 93.184.215.15:443 ssl http2; server_name git.example.com;
		location / {
			fastcgi_pass unix:/mnt/fcgi.sock; fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
			fastcgi_param GIT_PROJECT_ROOT /mnt/git; fastcgi_param GIT_HTTP_EXPORT_ALL 1; fastcgi_param PATH_INFO \$uri;
			fastcgi_param REMOTE_USER somebody; fastcgi_param HOME /mnt; fastcgi_param QUERY_STRING \$query_string;
			fastcgi_param REQUEST_METHOD \$request_method; fastcgi_param CONTENT_TYPE \$content_type;
			fastcgi_param CONTENT_LENGTH \$content_length; fastcgi_param HTTP_CONTENT_ENCODING \$http_content_encoding;
		}
	}
	server { listen 93.184.215.15:443 ssl http2; server_name npm.example.com; root /mnt/npm; default_type application/json; }
	server { listen 93.184.215.15:443 ssl http2; server_name pypi.example.com; root /mnt/pypi; default_type text/html; index index.html; }
	server { listen 93.184.215.15:443 ssl http2; server_name files.example.com; root /mnt/files; }
}
CONF
	somebody nginx -e /mnt/nginx.log -p /mnt -c /mnt/nginx.conf &
	answers 93.184.215.15 443
	;;
git)
	export HOME=/mnt GIT_CONFIG_NOSYSTEM=1
	git config --global user.name tests
	git config --global user.email tests@example.com
	git config --global init.defaultBranch main
	git init -q work
	echo 'hello from git' >work/hello.txt
	git -C work add hello.txt
	git -C work commit -qm one
	git clone -q --bare work git/repo.git
	git -C git/repo.git config http.receivepack true
	somebody env HOME=/mnt fcgiwrap -s unix:/mnt/fcgi.sock &
	while [ ! -S fcgi.sock ]; do sleep 0.05; done
	;;
packages)
	python3 "$(dirname "$0")/packages.py" /mnt
	;;
postgres)
	for bin in /usr/lib/postgresql/*/bin; do [ -x "$bin/initdb" ] && break; done
	cp leaf.pem db.pem
	install -m 600 leaf.key db.key
	somebody "$bin/initdb" -D data -A trust -U postgres --no-sync -E UTF8 --locale=C >/dev/null
	echo 'hostssl all all all trust' >data/pg_hba.conf
	somebody "$bin/postgres" -D data -h 93.184.215.16 -k '' -F -c ssl=on -c ssl_cert_file=/mnt/db.pem -c ssl_key_file=/mnt/db.key &
	answers 93.184.215.16 5432
	;;
sshd)
	{ grep -v '^[^:]*:[^:]*:1000:' /etc/passwd; echo 'somebody:x:1000:1000::/mnt:/bin/sh'; } >passwd
	mount --bind passwd /etc/passwd
	ssh-keygen -q -t ed25519 -N '' -f host
	ssh-keygen -q -t ed25519 -N '' -f user
	cat >sshd.conf <<CONF
ListenAddress 93.184.215.16:22
HostKey /mnt/host
AuthorizedKeysFile /mnt/user.pub
StrictModes no
UsePAM no
PidFile none
CONF
	somebody /usr/sbin/sshd -D -e -f /mnt/sshd.conf &
	answers 93.184.215.16 22
	;;
*)
	echo "no such server: $1"
	exit 1
	;;
esac
