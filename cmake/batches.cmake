# Most of the time of a cold build goes into reading the same headers (Asio, Beast, nlohmann_json)
# hundreds of times. With CLUSTER_BATCHED a compiler reads them once for about ten source files. Off
# in the preset `dev`: there a change shall compile one file, and each file must stand on its own.
option(CLUSTER_BATCHED "Compile source files in batches: a cold build in half the time" OFF)

# cluster_batched(TARGET): its source files are compiled in batches. A file's batch follows from its
# name alone, so that a new file meets the names of one batch and leaves all others as they are; when
# there are too many files, every batch is halved.
function(cluster_batched target)
  if(NOT CLUSTER_BATCHED)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(LENGTH sources count)
  set(batches 1)
  while(count GREATER 12)
    math(EXPR count "${count} / 2")
    math(EXPR batches "${batches} * 2")
  endwhile()
  foreach(source ${sources})
    get_filename_component(name ${source} NAME)
    string(MD5 hash ${name})
    string(SUBSTRING ${hash} 0 4 hash)
    math(EXPR batch "0x${hash} % ${batches}")
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${batch})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()

# cluster_apart(FILE...): these are compiled by themselves all the same, because a name of theirs
# means something else in another file of their batch.
function(cluster_apart)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
