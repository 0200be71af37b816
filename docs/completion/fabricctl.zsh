#compdef fabricctl
# SPDX-License-Identifier: Apache-2.0
# Completion of fabricctl for zsh; made by: fabricctl completion zsh

_fabricctl()
{
	local program=$words[1] previous=$words[CURRENT-1] command= word
	local -a commands names options formats words_here

	commands=('subnets:all leases: who has which subnet, and whether the kernel agrees' 'status:what is well on this host and what is not' 'peers:what the kernel has for every peer: route, neighbour, FDB entry' 'mtu:how large packets to each peer may be, and whether those of containers arrive' 'hosts:all hosts of the fabric: how each says it is, the bad ones first' 'mesh:who reaches whom: round trips and losses between all hosts' 'events:what has happened on this host, the oldest first' 'ip:who has an address: which host, and here which container, since when' 'pods:the containers of this host: what the CNI plugin attached, and whether it is still so' 'trace:what this kernel would do with a packet, step by step, and where it would stop' 'top:how much goes to and comes from every peer and every container, each second' 'test:does what a container here sends arrive at the other hosts?' 'doctor:look at this host: what is in the way of the fabric, and what to do about it' 'capacity:how many subnets and addresses are used, how many are free, how long they last' 'gc:what is left on this host of containers that are gone; with --apply it is removed' 'bundle:an archive of all that somebody needs who helps, without secrets' 'explain:what a word means that is said here, what it does to packets, what to do' 'diff:what the kernel has too little, too much and otherwise than the leases want' 'sync:compare the kernel with the leases and put it right, now' 'log-level:how much the daemon logs; with a word that much from now on, until it is started again' 'drain:take this host out of use: attach no more containers, and wait until none is left' 'resume:take this host into use again' 'lease:the lease of this host: look at it, prolong it, give it back; and reservations' 'config:check a network configuration, show the one in use, write another' 'store:ask every endpoint of the store how it is; print what it has, and what changes' 'version:versions of fabricctl and of the daemon' 'help:this text, or all about one command' 'completion:the script that completes command lines of fabricctl' )
	names=(${commands%%:*})
	for word in $words[2,CURRENT-1]; do
		if (( $names[(Ie)$word] )); then
			command=$word
			break
		fi
	done
	case $command in
	'')
		options=('--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		;;
	subnets)
		options=('--output:form of the answer' '-o:form of the answer' '--watch:go on and show what changes' '-w:go on and show what changes' '--columns:show these columns, in this order' '--sort:sort by this column; -COLUMN: backwards' '--filter:only what fits: COLUMN=TEXT, COLUMN!=TEXT, COLUMN~REGEX or COLUMN!~REGEX; several must all fit' '--no-headers:leave out the line with the names of the columns' '--time-left:wait for the time left of the leases however long it takes; with --store, of all of them' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table wide json jsonl yaml raw name dot prom-sd)
		words_here=()
		;;
	status)
		options=('--output:form of the answer' '-o:form of the answer' '--wait:wait until all is well' '--timeout:how long --wait [60s] or drain [10m] waits, such as 90, 30s or 5m' '--brief:one line: the verdict and the names of the problems' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml env)
		words_here=()
		;;
	peers)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table wide json jsonl yaml raw name dot)
		words_here=()
		;;
	mtu)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json jsonl yaml raw)
		words_here=()
		;;
	hosts)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table wide json jsonl yaml raw name)
		words_here=()
		;;
	mesh)
		options=('--output:form of the answer' '-o:form of the answer' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table wide json yaml raw svg html)
		words_here=()
		;;
	events)
		options=('--output:form of the answer' '-o:form of the answer' '--watch:go on and show what changes' '-w:go on and show what changes' '--columns:show these columns, in this order' '--since:only what happened within this time, such as 90, 30s, 5m or 1h' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json jsonl yaml raw)
		words_here=()
		;;
	ip)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--cni-cache-dir:where the runtime notes what is attached, below results [/var/lib/cni]' '--cni-plugin:the CNI plugin, which knows the containers of this host [flannel, in the daemon'\''s list of directories]' '--cni-data-dir:dataDir of the plugin'\''s configuration, where its records are [/var/lib/cni/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml raw env)
		words_here=()
		;;
	pods)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--cni-cache-dir:where the runtime notes what is attached, below results [/var/lib/cni]' '--cni-plugin:the CNI plugin, which knows the containers of this host [flannel, in the daemon'\''s list of directories]' '--cni-data-dir:dataDir of the plugin'\''s configuration, where its records are [/var/lib/cni/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json jsonl yaml raw)
		words_here=()
		;;
	trace)
		options=('--output:form of the answer' '-o:form of the answer' '--proto:of the packet: tcp, udp or icmp [icmp; tcp with --port]' '--port:that the packet is sent to, with tcp and udp' '--live:send the packet, five times, and say where it was seen and where not' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml)
		words_here=()
		;;
	top)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--count:end after so many intervals [none]' '-n:end after so many intervals [none]' '--cni-plugin:the CNI plugin, which knows the containers of this host [flannel, in the daemon'\''s list of directories]' '--cni-data-dir:dataDir of the plugin'\''s configuration, where its records are [/var/lib/cni/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json jsonl yaml)
		words_here=()
		;;
	test)
		options=('--output:form of the answer' '-o:form of the answer' '--disrupt:send all the time for so long, such as 60s, and say what was lost and the longest gap' '--listen:be what other hosts'\'' fabricctl test can send to, until Ctrl-C' '--cni-config:by which the container is attached [the first in /etc/cni/net.d with type flannel]' '--subnet-file:what the daemon writes for the CNI plugin [/run/flannel/subnet.env]' '--cni-plugin:the CNI plugin, which knows the containers of this host [flannel, in the daemon'\''s list of directories]' '--cni-data-dir:dataDir of the plugin'\''s configuration, where its records are [/var/lib/cni/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml)
		words_here=()
		;;
	doctor)
		options=('--output:form of the answer' '-o:form of the answer' '--dry-run:only say what would be done' '--yes:do not ask before something that runs may break' '-y:do not ask before something that runs may break' '--fix:then do what is safe, after showing it' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--subnet-file:what the daemon writes for the CNI plugin [/run/flannel/subnet.env]' '--cni-plugin:the CNI plugin, which knows the containers of this host [flannel, in the daemon'\''s list of directories]' '--cni-data-dir:dataDir of the plugin'\''s configuration, where its records are [/var/lib/cni/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml)
		words_here=()
		;;
	capacity)
		options=('--output:form of the answer' '-o:form of the answer' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--warn:so full is nearly full [90]' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--cni-ipam-dir:where reserved addresses are, dataDir of the address management [/var/lib/cni/networks]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml env)
		words_here=()
		;;
	gc)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--yes:do not ask before something that runs may break' '-y:do not ask before something that runs may break' '--plan:only say what would be removed, and why; this is what is done without --apply' '--apply:have the CNI plugin remove it' '--subnet-file:what the daemon writes for the CNI plugin [/run/flannel/subnet.env]' '--cni-cache-dir:where the runtime notes what is attached, below results [/var/lib/cni]' '--cni-ipam-dir:where reserved addresses are, dataDir of the address management [/var/lib/cni/networks]' '--cni-plugin:the CNI plugin, which knows the containers of this host [flannel, in the daemon'\''s list of directories]' '--cni-data-dir:dataDir of the plugin'\''s configuration, where its records are [/var/lib/cni/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml raw)
		words_here=()
		;;
	bundle)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--subnet-file:what the daemon writes for the CNI plugin [/run/flannel/subnet.env]' '--cni-cache-dir:where the runtime notes what is attached, below results [/var/lib/cni]' '--cni-ipam-dir:where reserved addresses are, dataDir of the address management [/var/lib/cni/networks]' '--cni-plugin:the CNI plugin, which knows the containers of this host [flannel, in the daemon'\''s list of directories]' '--cni-data-dir:dataDir of the plugin'\''s configuration, where its records are [/var/lib/cni/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml raw)
		words_here=()
		;;
	explain)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml raw)
		words_here=()
		;;
	diff)
		options=('--output:form of the answer' '-o:form of the answer' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--kernel:do not ask the daemon, which need not run: read the kernel, and what the daemon left in its directory' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml)
		words_here=()
		;;
	sync)
		options=('--output:form of the answer' '-o:form of the answer' '--dry-run:only say what would be done' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml env)
		words_here=()
		;;
	log-level)
		options=('--output:form of the answer' '-o:form of the answer' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml env)
		words_here=(error warn info debug)
		;;
	drain)
		options=('--output:form of the answer' '-o:form of the answer' '--timeout:how long --wait [60s] or drain [10m] waits, such as 90, 30s or 5m' '--release:then give back the subnet: the daemon ends, and claims none until resume' '--dry-run:only say what would be done' '--yes:do not ask before something that runs may break' '-y:do not ask before something that runs may break' '--force:release: even while the daemon runs; drain: even if links of containers are left' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--cni-plugin:the CNI plugin, which knows the containers of this host [flannel, in the daemon'\''s list of directories]' '--cni-data-dir:dataDir of the plugin'\''s configuration, where its records are [/var/lib/cni/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml env)
		words_here=()
		;;
	resume)
		options=('--output:form of the answer' '-o:form of the answer' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml env)
		words_here=()
		;;
	lease)
		options=('--output:form of the answer' '-o:form of the answer' '--dry-run:only say what would be done' '--yes:do not ask before something that runs may break' '-y:do not ask before something that runs may break' '--force:release: even while the daemon runs; drain: even if links of containers are left' '--node:reserve: name of the host that shall have the subnet' '--public-ip:reserve: public address of that host, by which it finds the reservation' '--public-ipv6:reserve: its public IPv6 address' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml env)
		words_here=(show renew release reserve unreserve)
		;;
	config)
		options=('--output:form of the answer' '-o:form of the answer' '--dry-run:only say what would be done' '--yes:do not ask before something that runs may break' '-y:do not ask before something that runs may break' '--store:ask the store, not the daemon, which need not run' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml raw env)
		words_here=(check set show)
		;;
	store)
		options=('--output:form of the answer' '-o:form of the answer' '--columns:show these columns, in this order' '--no-headers:leave out the line with the names of the columns' '--etcd-endpoints:comma list of etcd endpoints, http://host:port or https://host:port' '--etcd-transport:how to speak with etcd: auto is gRPC, and its JSON gateway at endpoints that do not speak it' '--etcd-prefix:key prefix of configuration and leases in etcd' '--etcd-keyfile:PEM file of the key to show to etcd' '--etcd-certfile:PEM file of the certificate to show to etcd' '--etcd-cafile:PEM file of the authority that signed etcd'\''s certificate; empty: the system'\''s' '--etcd-username:user name for etcd' '--etcd-password-file:file with the password for etcd in its first line' '--kube-subnet-mgr:leases are the nodes of Kubernetes, each with the subnet that is its podCIDR; the same as store=kube' '--kube-api-url:Kubernetes API server, http://host:port or https://host:port; empty: kubeconfig-file'\''s, or the pod'\''s' '--kubeconfig-file:kubeconfig with the API server and who we are to it; empty: the pod'\''s service account' '--kube-annotation-prefix:prefix of the annotations of nodes: a domain, or a domain, a slash and the beginning of a name' '--net-config-path:file with the network configuration, where leases are nodes of Kubernetes' '--set-node-network-unavailable:set the node'\''s condition NetworkUnavailable to False together with the lease' '--node-network-unavailable-on:when that condition becomes True again: never, while the host is drained, or also when the daemon ends' '--consul-endpoints:comma list of Consul agents, http://host:port or https://host:port' '--consul-prefix:key prefix of configuration and leases in Consul' '--consul-datacenter:datacenter that Consul'\''s agents must be of; empty: whichever it is' '--consul-token-file:file with the ACL token for Consul in its first line' '--consul-cafile:PEM file of the authority that signed the agents'\'' certificates; empty: the system'\''s' '--consul-certfile:PEM file of the certificate to show to Consul' '--consul-keyfile:PEM file of the key to show to Consul' '--state-dir:the daemon'\''s directory, where the identity of this host is kept, and what was known last [/var/lib/flannel]' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json jsonl yaml raw)
		words_here=(ping dump watch repair)
		;;
	version)
		options=('--output:form of the answer' '-o:form of the answer' '--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		formats=(table json yaml env)
		words_here=()
		;;
	help)
		options=('--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		words_here=($names)
		;;
	completion)
		options=('--socket:unix socket of the daemon [/run/flannel/flanneld.sock]' '--config-file:the daemon'\''s configuration file, for what is not given here [/etc/flannel/flanneld.conf]' '--color:use colours: auto, always or never [auto]' '--version:print the version and exit' '--help:print help and exit' '-h:print help and exit' )
		words_here=(bash zsh fish nodes subnets addresses words)
		;;
	esac
	if [[ $PREFIX == --*=* ]]; then
		previous=${PREFIX%%=*}
		compset -P '*='
	fi
	case $previous in
	--output|-o)
		compadd -- $formats
		return
		;;
	--columns)
		_message 'A,B,...'
		return
		;;
	--sort)
		compadd -- subnet node public-ip backend mac time-left role kernel reason node-id revision reach rtt
		return
		;;
	--filter)
		_message 'EXPR'
		return
		;;
	--since)
		_message 'TIME'
		return
		;;
	--timeout)
		_message 'TIME'
		return
		;;
	--node)
		compadd -- ${(f)"$($program completion nodes 2>/dev/null)"}
		return
		;;
	--public-ip)
		_message 'ADDRESS'
		return
		;;
	--public-ipv6)
		_message 'ADDRESS'
		return
		;;
	--proto)
		compadd -- tcp udp icmp
		return
		;;
	--port)
		_message 'PORT'
		return
		;;
	--count|-n)
		_message 'N'
		return
		;;
	--disrupt)
		_message 'TIME'
		return
		;;
	--cni-config)
		_files
		return
		;;
	--etcd-endpoints)
		_message 'LIST'
		return
		;;
	--etcd-transport)
		compadd -- auto grpc json
		return
		;;
	--etcd-prefix)
		_message 'PREFIX'
		return
		;;
	--etcd-keyfile)
		_files
		return
		;;
	--etcd-certfile)
		_files
		return
		;;
	--etcd-cafile)
		_files
		return
		;;
	--etcd-username)
		_message 'NAME'
		return
		;;
	--etcd-password-file)
		_files
		return
		;;
	--kube-subnet-mgr)
		compadd -- true false
		return
		;;
	--kube-api-url)
		_message 'URL'
		return
		;;
	--kubeconfig-file)
		_files
		return
		;;
	--kube-annotation-prefix)
		_message 'PREFIX'
		return
		;;
	--net-config-path)
		_files
		return
		;;
	--set-node-network-unavailable)
		compadd -- true false
		return
		;;
	--node-network-unavailable-on)
		compadd -- never drain stop
		return
		;;
	--consul-endpoints)
		_message 'LIST'
		return
		;;
	--consul-prefix)
		_message 'PREFIX'
		return
		;;
	--consul-datacenter)
		_message 'NAME'
		return
		;;
	--consul-token-file)
		_files
		return
		;;
	--consul-cafile)
		_files
		return
		;;
	--consul-certfile)
		_files
		return
		;;
	--consul-keyfile)
		_files
		return
		;;
	--warn)
		_message 'PERCENT'
		return
		;;
	--state-dir)
		_files
		return
		;;
	--subnet-file)
		_files
		return
		;;
	--cni-cache-dir)
		_files
		return
		;;
	--cni-ipam-dir)
		_files
		return
		;;
	--cni-plugin)
		_files
		return
		;;
	--cni-data-dir)
		_files
		return
		;;
	--socket)
		_files
		return
		;;
	--config-file)
		_files
		return
		;;
	--color)
		compadd -- auto always never
		return
		;;
	esac
	if [[ $PREFIX == -* ]]; then
		_describe -o option options
		return
	fi
	case $command:$previous in
	mesh:*)
		compadd -- ${(f)"$($program completion nodes 2>/dev/null)"}
		;;
	ip:*)
		compadd -- ${(f)"$($program completion addresses 2>/dev/null)"}
		;;
	trace:*)
		compadd -- ${(f)"$($program completion addresses 2>/dev/null)"}
		;;
	test:*)
		compadd -- ${(f)"$($program completion nodes 2>/dev/null)"}
		;;
	bundle:*)
		_files
		;;
	explain:*)
		compadd -- ${(f)"$($program completion words 2>/dev/null)"}
		;;
	lease:unreserve)
		compadd -- ${(f)"$($program completion subnets 2>/dev/null)"}
		;;
	config:check)
		_files
		;;
	config:set)
		_files
		;;
	:*)
		_describe command commands
		;;
	*)
		compadd -- $words_here
		;;
	esac
}

if [[ $funcstack[1] == _fabricctl ]]; then
	_fabricctl "$@"
else
	compdef _fabricctl fabricctl
fi
