# SPDX-License-Identifier: Apache-2.0
# Completion of fabricctl for bash; made by: fabricctl completion bash

_fabricctl()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command= options= formats= words= i
	local commands="subnets status peers events ip pods trace doctor diff sync lease config store version help completion"

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
		options="-o --output -w --watch --columns --sort --filter --no-headers --time-left --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --state-dir --socket --config-file --color --version -h --help"
		formats="table wide json jsonl raw name prom-sd"
		;;
	status)
		options="-o --output --wait --timeout --brief --socket --config-file --color --version -h --help"
		formats="table json"
		;;
	peers)
		options="-o --output --no-headers --socket --config-file --color --version -h --help"
		formats="table wide json jsonl raw name"
		;;
	events)
		options="-o --output -w --watch --since --socket --config-file --color --version -h --help"
		formats="table json jsonl raw"
		;;
	ip)
		options="-o --output --no-headers --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --state-dir --cni-cache-dir --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json raw"
		;;
	pods)
		options="-o --output --no-headers --cni-cache-dir --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json jsonl raw"
		;;
	trace)
		options="-o --output --proto --port --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --state-dir --socket --config-file --color --version -h --help"
		formats="table json"
		;;
	doctor)
		options="-o --output --dry-run -y --yes --fix --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --state-dir --subnet-file --cni-plugin --cni-data-dir --socket --config-file --color --version -h --help"
		formats="table json"
		;;
	diff)
		options="-o --output --socket --config-file --color --version -h --help"
		formats="table json"
		;;
	sync)
		options="-o --output --dry-run --socket --config-file --color --version -h --help"
		formats="table json"
		;;
	lease)
		options="-o --output --dry-run -y --yes --force --node --public-ip --public-ipv6 --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --state-dir --socket --config-file --color --version -h --help"
		formats="table json"
		words="show renew release reserve unreserve"
		;;
	config)
		options="-o --output --dry-run -y --yes --store --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --state-dir --socket --config-file --color --version -h --help"
		formats="table json raw"
		words="check set show"
		;;
	store)
		options="-o --output --no-headers --etcd-endpoints --etcd-transport --etcd-prefix --etcd-keyfile --etcd-certfile --etcd-cafile --etcd-username --etcd-password-file --kube-subnet-mgr --kube-api-url --kubeconfig-file --kube-annotation-prefix --net-config-path --set-node-network-unavailable --state-dir --socket --config-file --color --version -h --help"
		formats="table json jsonl raw"
		words="ping dump watch repair"
		;;
	version)
		options="-o --output --socket --config-file --color --version -h --help"
		formats="table json"
		;;
	help)
		options="--socket --config-file --color --version -h --help"
		words=$commands
		;;
	completion)
		options="--socket --config-file --color --version -h --help"
		words="bash"
		;;
	esac
	case $previous in
	--columns|--filter|--since|--timeout|--node|--public-ip|--public-ipv6|--port|--etcd-endpoints|--etcd-prefix|--etcd-username|--kube-api-url|--kube-annotation-prefix)
		return
		;;
	--etcd-keyfile|--etcd-certfile|--etcd-cafile|--etcd-password-file|--kubeconfig-file|--net-config-path|--state-dir|--subnet-file|--cni-cache-dir|--cni-plugin|--cni-data-dir|--socket|--config-file)
		COMPREPLY=($(compgen -f -- "$word"))
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
	--proto)
		COMPREPLY=($(compgen -W "tcp udp icmp" -- "$word"))
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
	--kube-subnet-mgr|--set-node-network-unavailable)
		COMPREPLY=($(compgen -W "true false" -- "$word"))
		return
		;;
	--color)
		COMPREPLY=($(compgen -W "auto always never" -- "$word"))
		return
		;;
	esac
	if [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W "$options" -- "$word"))
	elif [[ $command == config && $previous =~ ^(check|set)$ ]]; then
		COMPREPLY=($(compgen -f -- "$word"))
	else
		COMPREPLY=($(compgen -W "$words" -- "$word"))
	fi
}
complete -o filenames -F _fabricctl fabricctl
