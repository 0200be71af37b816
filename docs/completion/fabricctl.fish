# SPDX-License-Identifier: Apache-2.0
# Completion of fabricctl for fish; made by: fabricctl completion fish

set -g __fabricctl_commands subnets status peers mtu hosts mesh events ip pods trace top test doctor capacity gc bundle explain diff sync log-level drain resume lease config store version help completion

function __fabricctl_command
	for word in (commandline -opc)[2..-1]
		if contains -- $word $__fabricctl_commands
			echo $word
			return 0
		end
	end
	return 1
end

function __fabricctl_is
	contains -- (__fabricctl_command; or echo -) $argv
end

function __fabricctl_after
	contains -- (commandline -opc)[-1] $argv
end

function __fabricctl_ask
	set -l line (commandline -opc)
	$line[1] completion $argv 2>/dev/null
end

function __fabricctl_formats
	switch (__fabricctl_command)
		case subnets
			printf '%s\n' table wide json jsonl yaml raw name dot prom-sd
		case status
			printf '%s\n' table json yaml env
		case peers
			printf '%s\n' table wide json jsonl yaml raw name dot
		case mtu
			printf '%s\n' table json jsonl yaml raw
		case hosts
			printf '%s\n' table wide json jsonl yaml raw name
		case mesh
			printf '%s\n' table wide json yaml raw svg html
		case events
			printf '%s\n' table json jsonl yaml raw
		case ip
			printf '%s\n' table json yaml raw env
		case pods
			printf '%s\n' table json jsonl yaml raw
		case trace
			printf '%s\n' table json yaml
		case top
			printf '%s\n' table json jsonl yaml
		case test
			printf '%s\n' table json yaml
		case doctor
			printf '%s\n' table json yaml
		case capacity
			printf '%s\n' table json yaml env
		case gc
			printf '%s\n' table json yaml raw
		case bundle
			printf '%s\n' table json yaml raw
		case explain
			printf '%s\n' table json yaml raw
		case diff
			printf '%s\n' table json yaml
		case sync
			printf '%s\n' table json yaml env
		case log-level
			printf '%s\n' table json yaml env
		case drain
			printf '%s\n' table json yaml env
		case resume
			printf '%s\n' table json yaml env
		case lease
			printf '%s\n' table json yaml env
		case config
			printf '%s\n' table json yaml raw env
		case store
			printf '%s\n' table json jsonl yaml raw
		case version
			printf '%s\n' table json yaml env
	end
end

complete -c fabricctl -f
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a subnets -d 'all leases: who has which subnet, and whether the kernel agrees'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a status -d 'what is well on this host and what is not'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a peers -d 'what the kernel has for every peer: route, neighbour, FDB entry'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a mtu -d 'how large packets to each peer may be, and whether those of containers arrive'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a hosts -d 'all hosts of the fabric: how each says it is, the bad ones first'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a mesh -d 'who reaches whom: round trips and losses between all hosts'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a events -d 'what has happened on this host, the oldest first'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a ip -d 'who has an address: which host, and here which container, since when'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a pods -d 'the containers of this host: what the CNI plugin attached, and whether it is still so'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a trace -d 'what this kernel would do with a packet, step by step, and where it would stop'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a top -d 'how much goes to and comes from every peer and every container, each second'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a test -d 'does what a container here sends arrive at the other hosts?'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a doctor -d 'look at this host: what is in the way of the fabric, and what to do about it'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a capacity -d 'how many subnets and addresses are used, how many are free, how long they last'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a gc -d 'what is left on this host of containers that are gone; with --apply it is removed'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a bundle -d 'an archive of all that somebody needs who helps, without secrets'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a explain -d 'what a word means that is said here, what it does to packets, what to do'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a diff -d 'what the kernel has too little, too much and otherwise than the leases want'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a sync -d 'compare the kernel with the leases and put it right, now'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a log-level -d 'how much the daemon logs; with a word that much from now on, until it is started again'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a drain -d 'take this host out of use: attach no more containers, and wait until none is left'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a resume -d 'take this host into use again'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a lease -d 'the lease of this host: look at it, prolong it, give it back; and reservations'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a config -d 'check a network configuration, show the one in use, write another'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a store -d 'ask every endpoint of the store how it is; print what it has, and what changes'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a version -d 'versions of fabricctl and of the daemon'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a help -d 'this text, or all about one command'
complete -c fabricctl -n 'not __fabricctl_command >/dev/null' -f -a completion -d 'the script that completes command lines of fabricctl'
complete -c fabricctl -n '__fabricctl_is mesh' -f -a '(__fabricctl_ask nodes)'
complete -c fabricctl -n '__fabricctl_is ip' -f -a '(__fabricctl_ask addresses)'
complete -c fabricctl -n '__fabricctl_is trace' -f -a '(__fabricctl_ask addresses)'
complete -c fabricctl -n '__fabricctl_is test' -f -a '(__fabricctl_ask nodes)'
complete -c fabricctl -n '__fabricctl_is bundle' -F
complete -c fabricctl -n '__fabricctl_is explain' -f -a '(__fabricctl_ask words)'
complete -c fabricctl -n '__fabricctl_is log-level; and not __fabricctl_after' -f -a 'error warn info debug'
complete -c fabricctl -n '__fabricctl_is lease; and not __fabricctl_after unreserve' -f -a 'show renew release reserve unreserve'
complete -c fabricctl -n '__fabricctl_is lease; and __fabricctl_after unreserve' -f -a '(__fabricctl_ask subnets)'
complete -c fabricctl -n '__fabricctl_is config; and not __fabricctl_after check set' -f -a 'check set show'
complete -c fabricctl -n '__fabricctl_is config; and __fabricctl_after check' -F
complete -c fabricctl -n '__fabricctl_is config; and __fabricctl_after set' -F
complete -c fabricctl -n '__fabricctl_is store; and not __fabricctl_after' -f -a 'ping dump watch repair'
complete -c fabricctl -n '__fabricctl_is help' -f -a '$__fabricctl_commands'
complete -c fabricctl -n '__fabricctl_is completion; and not __fabricctl_after' -f -a 'bash zsh fish nodes subnets addresses words'
complete -c fabricctl -n '__fabricctl_is subnets status peers mtu hosts mesh events ip pods trace top test doctor capacity gc bundle explain diff sync log-level drain resume lease config store version' -s o -l output -r -f -a '(__fabricctl_formats)' -d 'form of the answer'
complete -c fabricctl -n '__fabricctl_is subnets events' -s w -l watch -f -d 'go on and show what changes'
complete -c fabricctl -n '__fabricctl_is subnets peers mtu hosts events ip pods top gc bundle explain store' -l columns -r -f -d 'show these columns, in this order'
complete -c fabricctl -n '__fabricctl_is subnets' -l sort -r -f -a 'subnet node public-ip backend mac time-left role kernel reason node-id revision reach rtt' -d 'sort by this column; -COLUMN: backwards'
complete -c fabricctl -n '__fabricctl_is subnets' -l filter -r -f -d 'only what fits: COLUMN=TEXT, COLUMN!=TEXT, COLUMN~REGEX or COLUMN!~REGEX; several must all fit'
complete -c fabricctl -n '__fabricctl_is subnets peers mtu hosts ip pods top gc bundle explain store' -l no-headers -f -d 'leave out the line with the names of the columns'
complete -c fabricctl -n '__fabricctl_is subnets' -l time-left -f -d 'wait for the time left of the leases however long it takes; with --store, of all of them'
complete -c fabricctl -n '__fabricctl_is events' -l since -r -f -d 'only what happened within this time, such as 90, 30s, 5m or 1h'
complete -c fabricctl -n '__fabricctl_is status' -l wait -f -d 'wait until all is well'
complete -c fabricctl -n '__fabricctl_is status drain' -l timeout -r -f -d 'how long --wait [60s] or drain [10m] waits, such as 90, 30s or 5m'
complete -c fabricctl -n '__fabricctl_is drain' -l release -f -d 'then give back the subnet: the daemon ends, and claims none until resume'
complete -c fabricctl -n '__fabricctl_is status' -l brief -f -d 'one line: the verdict and the names of the problems'
complete -c fabricctl -n '__fabricctl_is doctor sync drain lease config' -l dry-run -f -d 'only say what would be done'
complete -c fabricctl -n '__fabricctl_is doctor gc drain lease config' -s y -l yes -f -d 'do not ask before something that runs may break'
complete -c fabricctl -n '__fabricctl_is drain lease' -l force -f -d 'release: even while the daemon runs; drain: even if links of containers are left'
complete -c fabricctl -n '__fabricctl_is lease' -l node -r -f -a '(__fabricctl_ask nodes)' -d 'reserve: name of the host that shall have the subnet'
complete -c fabricctl -n '__fabricctl_is lease' -l public-ip -r -f -d 'reserve: public address of that host, by which it finds the reservation'
complete -c fabricctl -n '__fabricctl_is lease' -l public-ipv6 -r -f -d 'reserve: its public IPv6 address'
complete -c fabricctl -n '__fabricctl_is trace' -l proto -r -f -a 'tcp udp icmp' -d 'of the packet: tcp, udp or icmp [icmp; tcp with --port]'
complete -c fabricctl -n '__fabricctl_is trace' -l port -r -f -d 'that the packet is sent to, with tcp and udp'
complete -c fabricctl -n '__fabricctl_is top' -s n -l count -r -f -d 'end after so many intervals [none]'
complete -c fabricctl -n '__fabricctl_is test' -l disrupt -r -f -d 'send all the time for so long, such as 60s, and say what was lost and the longest gap'
complete -c fabricctl -n '__fabricctl_is test' -l listen -f -d 'be what other hosts\' fabricctl test can send to, until Ctrl-C'
complete -c fabricctl -n '__fabricctl_is test' -l cni-config -r -F -d 'by which the container is attached [the first in /etc/cni/net.d with type flannel]'
complete -c fabricctl -n '__fabricctl_is trace' -l live -f -d 'send the packet, five times, and say where it was seen and where not'
complete -c fabricctl -n '__fabricctl_is doctor' -l fix -f -d 'then do what is safe, after showing it'
complete -c fabricctl -n '__fabricctl_is subnets ip trace doctor capacity bundle diff lease config' -l store -f -d 'ask the store, not the daemon, which need not run'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l etcd-endpoints -r -f -d 'comma list of etcd endpoints, http://host:port or https://host:port'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l etcd-transport -r -f -a 'auto grpc json' -d 'how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l etcd-prefix -r -f -d 'key prefix of configuration and leases in etcd'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l etcd-keyfile -r -F -d 'PEM file of the key to show to etcd'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l etcd-certfile -r -F -d 'PEM file of the certificate to show to etcd'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l etcd-cafile -r -F -d 'PEM file of the authority that signed etcd\'s certificate; empty: the system\'s'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l etcd-username -r -f -d 'user name for etcd'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l etcd-password-file -r -F -d 'file with the password for etcd in its first line'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l kube-subnet-mgr -r -f -a 'true false' -d 'leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l kube-api-url -r -f -d 'Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file\'s, or the pod\'s'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l kubeconfig-file -r -F -d 'kubeconfig with the API server and who we are to it; empty: the pod\'s service account'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l kube-annotation-prefix -r -f -d 'prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l net-config-path -r -F -d 'file with the network configuration, where leases are nodes of Kubernetes'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l set-node-network-unavailable -r -f -a 'true false' -d 'set the node\'s condition NetworkUnavailable to False together with the lease'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l node-network-unavailable-on -r -f -a 'never drain stop' -d 'when that condition becomes True again: never, while the host is drained, or also when the daemon ends'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l consul-endpoints -r -f -d 'comma list of Consul agents, http://host:port or https://host:port'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l consul-prefix -r -f -d 'key prefix of configuration and leases in Consul'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l consul-datacenter -r -f -d 'datacenter that Consul\'s agents must be of; empty: whichever it is'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l consul-token-file -r -F -d 'file with the ACL token for Consul in its first line'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l consul-cafile -r -F -d 'PEM file of the authority that signed the agents\' certificates; empty: the system\'s'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l consul-certfile -r -F -d 'PEM file of the certificate to show to Consul'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain lease config store' -l consul-keyfile -r -F -d 'PEM file of the key to show to Consul'
complete -c fabricctl -n '__fabricctl_is gc' -l plan -f -d 'only say what would be removed, and why; this is what is done without --apply'
complete -c fabricctl -n '__fabricctl_is gc' -l apply -f -d 'have the CNI plugin remove it'
complete -c fabricctl -n '__fabricctl_is capacity' -l warn -r -f -d 'so full is nearly full [90]'
complete -c fabricctl -n '__fabricctl_is diff' -l kernel -f -d 'do not ask the daemon, which need not run: read the kernel, and what the daemon left in its directory'
complete -c fabricctl -n '__fabricctl_is subnets hosts mesh ip trace doctor capacity bundle diff drain resume lease config store' -l state-dir -r -F -d 'the daemon\'s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]'
complete -c fabricctl -n '__fabricctl_is test doctor gc bundle' -l subnet-file -r -F -d 'what the daemon writes for the CNI plugin [/run/flannel/subnet.env]'
complete -c fabricctl -n '__fabricctl_is ip pods gc bundle' -l cni-cache-dir -r -F -d 'where the runtime notes what is attached, below results [/var/lib/cni]'
complete -c fabricctl -n '__fabricctl_is capacity gc bundle' -l cni-ipam-dir -r -F -d 'where reserved addresses are, dataDir of the address management [/var/lib/cni/networks]'
complete -c fabricctl -n '__fabricctl_is ip pods top test doctor gc bundle drain' -l cni-plugin -r -F -d 'the CNI plugin, which knows the containers of this host [flannel, in the daemon\'s list of directories]'
complete -c fabricctl -n '__fabricctl_is ip pods top test doctor gc bundle drain' -l cni-data-dir -r -F -d 'dataDir of the plugin\'s configuration, where its records are [/var/lib/cni/flannel]'
complete -c fabricctl -l socket -r -F -d 'unix socket of the daemon [/run/flannel/flanneld.sock]'
complete -c fabricctl -l config-file -r -F -d 'the daemon\'s configuration file, for what is not given here [/etc/flannel/flanneld.conf]'
complete -c fabricctl -l color -r -f -a 'auto always never' -d 'use colours: auto, always or never [auto]'
complete -c fabricctl -l version -f -d 'print the version and exit'
complete -c fabricctl -s h -l help -f -d 'print help and exit'
