# SPDX-License-Identifier: Apache-2.0
# Completion of fabricctl for bash; made by: fabricctl completion bash

_fabricctl()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command= options= formats= words= i
	local commands="subnets status peers mtu hosts mesh events ip pods trace top test doctor capacity gc bundle explain diff sync log-level drain resume lease config store version help completion"

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case " $commands " in
		*" ${COMP_WORDS[i]} "*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	case $command in
	'')
		options="--socket --config-file --color --version -h --help"
		words=$commands
		;;
	subnets)
		options="-o --output -w --watch --columns --sort --filter --no-headers --time-left --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --socket --config-file --color --version -h --help"
		formats="table wide json jsonl yaml raw name dot prom-sd"
		;;
	status)
		options="-o --output --wait --timeout --brief --socket --config-file --color --version -h --help"
		formats="table json yaml env"
		;;
	peers)
		options="-o --output --columns --no-headers --socket --config-file --color --version -h --help"
		formats="table wide json jsonl yaml raw name dot"
		;;
	mtu)
		options="-o --output --columns --no-headers --socket --config-file --color --version -h --help"
		formats="table json jsonl yaml raw"
		;;
	hosts)
		options="-o --output --columns --no-headers --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --socket --config-file --color --version -h --help"
		formats="table wide json jsonl yaml raw name"
		;;
	mesh)
		options="-o --output --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --socket --config-file --color --version -h --help"
		formats="table wide json yaml raw svg html"
		;;
	events)
		options="-o --output -w --watch --columns --since --socket --config-file --color --version -h --help"
		formats="table json jsonl yaml raw"
		;;
	ip)
		options="-o --output --columns --no-headers --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --cni-cache-dir --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json yaml raw env"
		;;
	pods)
		options="-o --output --columns --no-headers --cni-cache-dir --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json jsonl yaml raw"
		;;
	trace)
		options="-o --output --proto --port --live --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --socket --config-file --color --version -h --help"
		formats="table json yaml"
		;;
	top)
		options="-o --output --columns --no-headers -n --count --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json jsonl yaml"
		;;
	test)
		options="-o --output --disrupt --listen --cni-config --subnet-file --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json yaml"
		;;
	doctor)
		options="-o --output --dry-run -y --yes --fix --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --subnet-file --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json yaml"
		;;
	capacity)
		options="-o --output --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --warn --state-dir --cni-ipam-dir --socket --config-file --color --version -h --help"
		formats="table json yaml env"
		;;
	gc)
		options="-o --output --columns --no-headers -y --yes --plan --apply --subnet-file --cni-cache-dir --cni-ipam-dir --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json yaml raw"
		;;
	bundle)
		options="-o --output --columns --no-headers --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --subnet-file --cni-cache-dir --cni-ipam-dir --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json yaml raw"
		;;
	explain)
		options="-o --output --columns --no-headers --socket --config-file --color --version -h --help"
		formats="table json yaml raw"
		;;
	diff)
		options="-o --output --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --kernel --state-dir --socket --config-file --color --version -h --help"
		formats="table json yaml"
		;;
	sync)
		options="-o --output --dry-run --socket --config-file --color --version -h --help"
		formats="table json yaml env"
		;;
	log-level)
		options="-o --output --socket --config-file --color --version -h --help"
		formats="table json yaml env"
		words="error warn info debug"
		;;
	drain)
		options="-o --output --timeout --release --dry-run -y --yes --force --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json yaml env"
		;;
	resume)
		options="-o --output --state-dir --socket --config-file --color --version -h --help"
		formats="table json yaml env"
		;;
	lease)
		options="-o --output --dry-run -y --yes --force --node --public-ip --public-ipv6 --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --socket --config-file --color --version -h --help"
		formats="table json yaml env"
		words="show renew release reserve unreserve"
		;;
	config)
		options="-o --output --dry-run -y --yes --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --socket --config-file --color --version -h --help"
		formats="table json yaml raw env"
		words="check set show"
		;;
	store)
		options="-o --output --columns --no-headers --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --node-network-unavailable-on --consul-endpoints --consul-prefix --consul-datacenter --consul-token-file --consul-cafile --consul-certfile --consul-keyfile --state-dir --socket --config-file --color --version -h --help"
		formats="table json jsonl yaml raw"
		words="ping dump watch repair"
		;;
	version)
		options="-o --output --socket --config-file --color --version -h --help"
		formats="table json yaml env"
		;;
	help)
		options="--socket --config-file --color --version -h --help"
		words=$commands
		;;
	completion)
		options="--socket --config-file --color --version -h --help"
		words="bash zsh fish nodes subnets addresses words"
		;;
	esac
	case $previous in
	--columns|--filter|--since|--timeout|--public-ip|--public-ipv6|--port|--count|-n|--disrupt|--etcd-endpoints|--etcd-prefix|--etcd-username|--kube-api-url|--kube-annotation-prefix|--consul-endpoints|--consul-prefix|--consul-datacenter|--warn)
		return
		;;
	--output|-o)
		COMPREPLY=($(compgen -W "$formats" -- "$word"))
		return
		;;
	--sort)
		COMPREPLY=($(compgen -W "subnet node public-ip backend mac time-left role kernel reason node-id revision reach rtt" -- "$word"))
		return
		;;
	--node)
		COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" completion nodes 2>/dev/null)" -- "$word"))
		return
		;;
	--proto)
		COMPREPLY=($(compgen -W "tcp udp icmp" -- "$word"))
		return
		;;
	--cni-config|--etcd-keyfile|--etcd-certfile|--etcd-cafile|--etcd-password-file|--kubeconfig-file|--net-config-path|--consul-token-file|--consul-cafile|--consul-certfile|--consul-keyfile|--state-dir|--subnet-file|--cni-cache-dir|--cni-ipam-dir|--cni-plugin|--cni-data-dir|--socket|--config-file)
		COMPREPLY=($(compgen -f -- "$word"))
		return
		;;
	--etcd-transport)
		COMPREPLY=($(compgen -W "auto grpc json" -- "$word"))
		return
		;;
	--kube-subnet-mgr|--set-node-network-unavailable)
		COMPREPLY=($(compgen -W "true false" -- "$word"))
		return
		;;
	--node-network-unavailable-on)
		COMPREPLY=($(compgen -W "never drain stop" -- "$word"))
		return
		;;
	--color)
		COMPREPLY=($(compgen -W "auto always never" -- "$word"))
		return
		;;
	esac
	if [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W "$options" -- "$word"))
		return
	fi
	case $command:$previous in
	mesh:*)
		COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" completion nodes 2>/dev/null)" -- "$word"))
		;;
	ip:*)
		COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" completion addresses 2>/dev/null)" -- "$word"))
		;;
	trace:*)
		COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" completion addresses 2>/dev/null)" -- "$word"))
		;;
	test:*)
		COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" completion nodes 2>/dev/null)" -- "$word"))
		;;
	bundle:*)
		COMPREPLY=($(compgen -f -- "$word"))
		;;
	explain:*)
		COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" completion words 2>/dev/null)" -- "$word"))
		;;
	lease:unreserve)
		COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" completion subnets 2>/dev/null)" -- "$word"))
		;;
	config:check)
		COMPREPLY=($(compgen -f -- "$word"))
		;;
	config:set)
		COMPREPLY=($(compgen -f -- "$word"))
		;;
	*)
		COMPREPLY=($(compgen -W "$words" -- "$word"))
		;;
	esac
}
complete -o filenames -F _fabricctl fabricctl
