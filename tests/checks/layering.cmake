cmake_minimum_required(VERSION 3.25)
# A folder includes only what stands to its left: data <- diffusion, rewards <- finetune <- tools.
# finetune knows a reward only as rewards/reward.hpp and rewards/combine. Inside a folder, a room includes only
# itself and the rooms that the second table gives it. The slow headers of libtorch are banned.
set(allowed_data "data")
set(allowed_diffusion "data|diffusion")
set(allowed_rewards "data|rewards")
set(allowed_finetune "data|diffusion|finetune|rewards/reward.hpp|rewards/combine")
set(allowed_tools "data|diffusion|rewards|finetune|tools")

# may_<room>: the rooms of the same folder that it may include beside itself. A room that is missing here may include
# none. Headers directly in a folder (rewards/reward.hpp, tools/commands.hpp) count as the room of that folder.
set(may_data_base "")
set(may_data_system "data/base")
set(may_data_device "data/base")
set(may_data_profile "data/device")
set(may_data_weights "data/base")
set(may_data_text "data/base")
set(may_data_images "data/base")
set(may_data_nn "data/base|data/nn/kernels|data/weights")
set(may_data_nn_kernels "data/base")
set(may_data_train "data/base|data/weights")
set(may_data_world "data/base|data/images")
set(may_diffusion_networks_unet "")
set(may_diffusion_networks_vae "diffusion/naming")
set(may_diffusion_sampling "")
set(may_diffusion_sampling_methods "diffusion/sampling")
set(may_diffusion_text "")
set(may_diffusion_pipeline "diffusion/networks/unet|diffusion/networks/vae|diffusion/sampling|diffusion/text")
set(may_diffusion_naming "")
set(may_diffusion_checkpoints "diffusion/naming|diffusion/networks/unet|diffusion/networks/vae|diffusion/pipeline|diffusion/sampling")
set(may_diffusion_lora "diffusion/checkpoints|diffusion/naming|diffusion/networks/unet|diffusion/pipeline")
set(may_rewards "")
set(may_rewards_registry "rewards|rewards/combine|rewards/custom|rewards/judge_student|rewards/loader|rewards/scorers|rewards/social|rewards/world")
set(may_rewards_combine "rewards")
set(may_rewards_loader "rewards|rewards/clip")
set(may_rewards_clip "")
set(may_rewards_scorers "rewards|rewards/clip|rewards/loader")
set(may_rewards_custom "rewards|rewards/loader")
set(may_rewards_judge "")
set(may_rewards_judge_student "rewards/clip|rewards/evaluation|rewards/judge|rewards/loader")
set(may_rewards_social "rewards/clip|rewards/loader|rewards/scorers")
set(may_rewards_evaluation "rewards")
set(may_rewards_world "rewards|rewards/judge|rewards/loader|rewards/social")
set(may_finetune_distributed "")
set(may_finetune_run "finetune/distributed")
set(may_finetune_policy "finetune/distributed|finetune/policy/methods|finetune/run")
set(may_finetune_policy_methods "")
set(may_finetune_estimate "finetune/policy|finetune/run")
set(may_finetune_distill "finetune/datasets|finetune/distributed|finetune/estimate|finetune/run")
set(may_finetune_edit "finetune/datasets|finetune/estimate|finetune/run")
set(may_finetune_pretrain "finetune/datasets")
set(may_finetune_datasets "")
set(may_tools "tools/[a-z_]+")
set(may_tools_cli "")
set(may_tools_sample "tools/cli")
set(may_tools_edit "tools/cli|tools/gallery|tools/sample")
set(may_tools_score "tools/cli")
set(may_tools_finetune "tools/cli|tools/edit|tools/pretrain|tools/sample")
set(may_tools_train_reward "tools/cli|tools/pretrain|tools/score")
set(may_tools_pretrain "tools/cli")
set(may_tools_world "tools/cli|tools/score")
set(may_tools_checkpoints "tools/cli")
set(may_tools_doctor "tools/cli")
set(may_tools_bench "tools/cli")
set(may_tools_gallery "tools/cli")

# Includes that stand until their parts are carved out.
set(exceptions
    "diffusion/checkpoints/ldm_layout.hpp diffusion/lora/names.hpp"
    "diffusion/checkpoints/save_in_source_format.hpp diffusion/lora/names.hpp"
    "diffusion/pipeline/pipeline.hpp diffusion/checkpoints/model_index.hpp"
    "finetune/distill/distill.cpp finetune/policy/calibration.hpp"
    "finetune/distill/distill.cpp finetune/policy/epoch.hpp"
    "finetune/distill/reward_gradient.cpp finetune/policy/epoch.hpp"
    "finetune/edit/dataset.cpp finetune/pretrain/unet.hpp"
    "finetune/edit/edit.cpp finetune/policy/calibration.hpp"
    "finetune/run/evaluate.hpp finetune/policy/rollout.hpp"
    "finetune/run/training_run.cpp finetune/policy/calibration.hpp"
    "finetune/run/training_run.cpp finetune/policy/epoch.hpp"
    "finetune/run/training_task.hpp finetune/policy/guided_policy.hpp")

get_filename_component(SOURCE_DIR ${SOURCE_DIR} ABSOLUTE)
set(faults "")
# A room of `header`, a path from the root: its folder.
function(check_include source line header folder room)
  if("${source} ${header}" IN_LIST exceptions)
    return()
  endif()
  if(NOT header MATCHES "^(${allowed_${folder}})(/|$)")
    list(APPEND faults "${source}: ${line}")
  elseif(header MATCHES "^${folder}/")
    get_filename_component(other ${header} DIRECTORY)
    string(REPLACE "/" "_" key ${room})
    if(NOT other MATCHES "^(${room}|${may_${key}})$")
      list(APPEND faults "${source}: ${line} (${room} may not include ${other})")
    endif()
  endif()
  set(faults ${faults} PARENT_SCOPE)
endfunction()

foreach(folder data diffusion rewards finetune tools)
  file(GLOB_RECURSE sources RELATIVE ${SOURCE_DIR} ${SOURCE_DIR}/${folder}/*.cpp ${SOURCE_DIR}/${folder}/*.hpp
       ${SOURCE_DIR}/${folder}/*.cu ${SOURCE_DIR}/${folder}/*.cuh)
  if(NOT sources)
    message(FATAL_ERROR "no sources in ${SOURCE_DIR}/${folder}")
  endif()
  foreach(source ${sources})
    get_filename_component(room ${source} DIRECTORY)
    file(STRINGS ${SOURCE_DIR}/${source} includes REGEX "^#include")
    foreach(line ${includes})
      if(line MATCHES "\"((data|diffusion|rewards|finetune|tools)/[^\"]*)\"")
        check_include("${source}" "${line}" ${CMAKE_MATCH_1} ${folder} ${room})
      endif()
      if(line MATCHES "torch/(torch|nn|script|extension)\\.h")
        list(APPEND faults "${source}: ${line} (slow to compile: use ATen/ATen.h)")
      endif()
    endforeach()
  endforeach()
endforeach()

if(faults)
  string(JOIN "\n  " text ${faults})
  message(FATAL_ERROR "includes that break the layering:\n  ${text}")
endif()
message(STATUS "layering holds")
