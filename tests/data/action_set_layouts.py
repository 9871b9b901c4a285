"""Annotation files of published data sets, as small as can be."""

from __future__ import annotations

import json


def lay(folder, texts=None, empty=()):
    """Files with these texts, and empty ones."""
    for name, text in {**(texts or {}), **dict.fromkeys(empty, "")}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def kinetics(folder):
    lay(
        folder / "lists",
        {
            "train.csv": "label,youtube_id,time_start,time_end,split,is_cc\n"
            'abseiling,-3B32lodo2M,59,69,train,0\n"air drumming",_dbcJuKJQNs,140,150,train,0\n'
            "abseiling,aaaaaaaaaaa,0,10,train,1\n",
            "validate.csv": "label,youtube_id,time_start,time_end,split\n"
            "abseiling,bbbbbbbbbbb,84,94,validate\n",
            "kinetics_test.csv": "youtube_id,time_start,time_end,split\nccccccccccc,5,15,test\n",
        },
    )
    clips = ["-3B32lodo2M_000059_000069", "bbbbbbbbbbb_000084_000094", "ccccccccccc_000005_000015"]
    lay(folder / "videos", empty=[f"abseiling/{clip}.mp4" for clip in clips])
    lay(
        folder / "videos",
        empty=["air_drumming/_dbcJuKJQNs_000140_000150.mp4", "aaaaaaaaaaa_000000_000010.mkv"],
    )


def something_something(folder):
    labels = {"Pushing something from left to right": "0", "Putting something similar on the table": "1"}
    items = [
        {
            "id": "7",
            "label": "x",
            "template": "Pushing [something] from left to right",
            "placeholders": ["x"],
        },
        {
            "id": "12",
            "label": "y",
            "template": "Putting [something similar] on the table",
            "placeholders": ["y"],
        },
    ]
    texts = {
        "labels.json": labels,
        "train.json": items,
        "validation.json": items[1:],
        "test.json": [{"id": "9"}],
    }
    lay(folder / "lists", {name: json.dumps(content) for name, content in texts.items()})
    lay(folder / "videos", empty=[f"20bn-something-something-v2/{key}.webm" for key in (7, 9, 12)])


def ucf101(folder):
    lay(
        folder / "lists",
        {
            "classInd.txt": "1 Archery\n2 HandstandPushups\n",
            "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\r\nArchery/v_Archery_g08_c02.avi 1\r\n"
            "HandstandPushups/v_HandStandPushups_g09_c01.avi 2\r\n",
            "testlist01.txt": "Archery/v_Archery_g01_c01.avi\n",
            "trainlist02.txt": "Archery/v_Archery_g01_c01.avi 1\n",
        },
    )
    names = ["v_Archery_g08_c01", "v_Archery_g08_c02", "v_Archery_g01_c01"]
    lay(folder / "videos", empty=[f"UCF-101/Archery/{name}.avi" for name in names])
    lay(folder / "videos", empty=["UCF-101/HandstandPushups/v_HandStandPushups_g09_c01.avi"])


RUN = [
    "The_Matrix_1_run_f_cm_np1_fr_bad_0",
    "The_Matrix_1_run_f_cm_np1_fr_med_1",
    "Crash_run_l_cm_np1_fr_med_21",
]


BRUSH = "Brushing_Her_Hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_fr_goo_0"


def hmdb51(folder):
    lay(
        folder / "lists",
        {
            "run_test_split1.txt": f"{RUN[0]}.avi 2 \n{RUN[1]}.avi 0 \n{RUN[2]}.avi 1 \n",
            "brush_hair_test_split1.txt": f"{BRUSH}.avi 1 \nodd.avi 1 \n",
            "run_test_split2.txt": f"{RUN[1]}.avi 2 \n",
            "class_list.txt": "brush_hair\nrun\n",
        },
    )
    # A clip of another class may have the same name.
    lay(folder / "videos", empty=[f"run/{name}.avi" for name in [*RUN, "odd"]])
    lay(folder / "videos", empty=[f"brush_hair/{name}.avi" for name in (BRUSH, "odd")])


def diving48(folder):
    items = [
        {"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 48},
        {"vid_name": "2x00lRzlTVQ_00000", "label": 1, "start_frame": 0, "end_frame": 70},
    ]
    texts = {
        "Diving48_vocab.json": [["Back", "15som", "05Twis", "FREE"], ["Inward", "Dive", "NoTwis", "PIKE"]],
        "Diving48_V2_train.json": items,
        "Diving48_V2_test.json": items[1:],
    }
    lay(folder / "lists", {name: json.dumps(content) for name, content in texts.items()})
    lay(folder / "videos", empty=[f"rgb/{item['vid_name']}.mp4" for item in items])


def jester(folder):
    lay(
        folder / "lists",
        {
            "jester-v1-labels.csv": "Swiping Left\nSwiping Right\n",
            "jester-v1-train.csv": "34870;Swiping Left\n56557;Swiping Right\n",
            "jester-v1-validation.csv": "9223;Swiping Right\n",
            "jester-v1-test.csv": "115393\n",
        },
    )
    lay(folder / "videos", empty=[f"{key}/00001.jpg" for key in (34870, 56557, 9223, 115393)])


EPIC_HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame"
)


EPIC_LABELS = ",narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"


def epic_row(number, video, start, stop, verb, noun):
    shared = f"{video}_{number},P01,{video},,{start},{stop},1,2,text"
    return f"{shared},x,{verb},y,{noun},\"['y', 'z']\",\"[{noun}, 9]\"\n"


def epic_kitchens(folder):
    header = EPIC_HEADER + EPIC_LABELS + "\n"
    lay(
        folder / "lists",
        {
            "EPIC_100_train.csv": header
            + epic_row(0, "P01_01", "00:00:00.14", "00:00:03.37", 3, 3)
            + epic_row(1, "P01_01", "01:02:03.5", "01:02:04.25", 6, 0)
            + epic_row(0, "P01_102", "00:00:00.54", "00:00:02.23", 3, 18),
            "EPIC_100_validation.csv": header + epic_row(0, "P01_11", "00:00:00.00", "00:00:01.89", 3, 0),
            "EPIC_100_test_timestamps.csv": f"{EPIC_HEADER}\n"
            "P01_101_0,P01,P01_101,,00:00:02.86,00:00:03.87,143,193\n",
            "EPIC_100_verb_classes.csv": "id,key,instances,category\n3,open,\"['open', 'unzip']\",access\n"
            "6,turn-on,['turn-on'],access\n",
            "EPIC_100_noun_classes_v2.csv": '"id","key","instances","category"\n0,"tap","[]","x"\n'
            '3,"cupboard","[]","x"\n'
            '18,"board:chopping","[]","x"\n',
        },
    )
    videos = ("P01_01", "P01_11", "P01_101", "P01_102")
    lay(folder / "videos", empty=[f"P01/videos/{video}.MP4" for video in videos])


LAYOUTS = {
    "kinetics": kinetics,
    "ssv2": something_something,
    "ucf101": ucf101,
    "hmdb51": hmdb51,
    "jhmdb": hmdb51,
    "diving48": diving48,
    "jester": jester,
    "epic": epic_kitchens,
}
