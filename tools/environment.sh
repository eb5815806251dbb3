# Sourced by the scripts that run the program on one machine. Open MPI's needs in a container, as root and with more ranks
# than cores are set here and nowhere else; on a cluster (jobs/slurm) none of this applies.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1   # Open MPI 4
  export PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1   # Open MPI 5
fi
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_mpi_yield_when_idle=1                     # ranks that wait leave the core to ranks that work
export OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
export OMPI_MCA_btl_base_warn_component_unused=0
export OMPI_MCA_pml=ob1                                   # others look for InfiniBand: 0.2 s at each start
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-20000}            # threads that wait sleep soon: other programs may want the core
