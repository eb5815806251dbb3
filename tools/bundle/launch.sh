#!/bin/sh
# Every file in a bundle's bin: starts the program of the same name in libexec with the bundle's own libraries and Open MPI,
# wherever the bundle lies.
here=$(readlink -f "$0")
bundle=${here%/bin/*}
export LD_LIBRARY_PATH="$bundle/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export OPAL_PREFIX="$bundle" OPAL_PKGDATADIR="$bundle/openmpi/share"
export OMPI_MCA_mca_base_component_path="$bundle/openmpi/plugins"
# Not the machine's plug-ins of what is the bundle's own; nothing here is worth compressing.
export HWLOC_PLUGINS_PATH="$bundle/openmpi/none" PMIX_MCA_mca_base_component_disable_dlopen=1
export PMIX_MCA_pcompress_base_silence_warning=1
export OMPI_MCA_plm="${OMPI_MCA_plm:-isolated}"  # ranks of this machine need no ssh
exec "$bundle/libexec/coxswain/${0##*/}" "$@"
